"""Whole files and folders, and what may be replaced."""

import contextlib
import os
from pathlib import Path

import pytest

from omnicost.errors import InputError
from omnicost.files import (
    MARK,
    file_digest,
    output_file,
    read_bytes,
    refuse_to_replace,
    whole_file,
    write_json,
    write_text,
)


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    """A block that fails leaves the old file and nothing beside it."""
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with contextlib.suppress(RuntimeError), whole_file(path) as part:
        part.write_text("half")
        assert path.read_text() == "old"
        raise RuntimeError
    assert path.read_text() == "old"
    write_json(path, {"é": 1})
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    """Results linked to another disk are written there."""
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_devices_and_folders_are_no_output(tmp_path: Path) -> None:
    """`--out /dev/null` would otherwise replace the device where the user may do so."""
    for path in (Path("/dev/null"), tmp_path, Path("/dev/null/below")):
        with pytest.raises(InputError, match="cannot be written"), output_file(path) as part:
            part.write_text("x")
    assert Path("/dev/null").is_char_device()


def test_a_fifo_is_refused_before_it_hangs(tmp_path: Path) -> None:
    """Reading a FIFO would wait for a writer for ever."""
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero")):
        with pytest.raises(InputError, match="is a FIFO, a socket or a device"):
            read_bytes(path)


def test_a_name_with_a_nul_is_one_line() -> None:
    """`open` raises ValueError for it, not OSError."""
    with pytest.raises(InputError, match="cannot be read"):
        read_bytes("a\0b")


def test_digest_of_a_file(tmp_path: Path) -> None:
    """The SHA-256 of nothing is the known one."""
    (tmp_path / "empty").touch()
    assert file_digest(tmp_path / "empty").startswith("e3b0c44298fc1c149afbf4c8996fb924")


def test_an_input_and_a_strangers_file_are_kept(tmp_path: Path) -> None:
    """Without force nothing replaces an input, through a link either, or what others wrote."""
    given, link, ours, headed = (tmp_path / name for name in ("in", "link", "ours", "headed"))
    given.write_text(MARK)
    link.symlink_to(given)
    with pytest.raises(InputError, match=r"link: is an input of this command"):
        refuse_to_replace(link, inputs=[None, given])
    refuse_to_replace(link, inputs=[given], force=True)
    refuse_to_replace(tmp_path / "new", inputs=[given])
    ours.write_text("x" * 9000 + MARK)
    headed.write_text("image_id,kind\n1,box\n")
    refuse_to_replace(ours)
    refuse_to_replace(headed, head="image_id,kind\n")
    with pytest.raises(InputError, match="exists and was not written by omnicost"):
        refuse_to_replace(headed)
    refuse_to_replace(headed, force=True)

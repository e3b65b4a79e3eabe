"""The tiny world: a seeded generator of small pictures with exact masks and class names.

`world.render` draws one picture; `world.SPECS` names the three data sets (`tiny-coco`,
`tiny-ade20k`, `tiny-cityscapes`), and `tiny-web` and `tiny-things`, on which the tiny foundation
models are pretrained; `disk.write_coco` writes a data set as files, in COCO's layout.
"""

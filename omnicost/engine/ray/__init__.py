"""Everything that imports Ray; who needs none (cards, dry runs) imports this package late.

Its environment is set first: nothing is sent home, workers stay in the driver's folder, Ctrl-C
reaches us instead of Tune's own handler, and Tune writes no logs or state of its own.
"""

import os
from typing import Final

_ENVIRONMENT: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "1",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",  # its (raylet) lines; what matters ends in our summary
    # Eight GPUs come free once the stages of one GPU are done; who asks anew loses the place.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "1209600",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "100000000",
    "TUNE_MAX_PENDING_TRIALS_PG": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_WARN_SLOW_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "100000",
}

for _name, _value in _ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)

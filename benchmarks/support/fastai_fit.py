"""Fine-tuning by fastai, run by its own interpreter: reads a task file, writes logits and seconds.

    python fastai_fit.py TASK.json

The task: weights (a timm state_dict file), backbone (its timm name), epochs, seed, train ([file, label] rows), test
(files), classes, answers (the .npz to write).
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from fastai.vision.all import ImageDataLoaders, Resize, aug_transforms, set_seed, vision_learner


def main() -> None:
    """Fit as fastai's beginners' chapter does: Resize, aug_transforms, vision_learner, fine_tune."""
    warnings.simplefilter("ignore")
    task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    set_seed(task["seed"], reproducible=True)
    began = time.monotonic()
    rows = pd.DataFrame(task["train"], columns=["file", "label"])
    loaders = ImageDataLoaders.from_df(
        rows,
        path="/",
        valid_pct=0.0,
        bs=16,
        item_tfms=Resize(256),
        batch_tfms=aug_transforms(size=224, min_scale=0.75),
    )
    learner = vision_learner(loaders, task["backbone"], pretrained_cfg_overlay={"file": task["weights"]})
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(task["epochs"])
        seconds = time.monotonic() - began
        answers, _ = learner.get_preds(dl=loaders.test_dl([Path(file) for file in task["test"]]))
    order = [list(loaders.vocab).index(name) for name in task["classes"]]
    np.savez(task["answers"], logits=np.log(answers.numpy()[:, order] + 1e-9), seconds=seconds)


if __name__ == "__main__":
    main()

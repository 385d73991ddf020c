"""A data set to a model: the steps features, train, evaluate, report and publish.

Folders:
    network: the backbone and its stages, devices, augmented views, cached features.
    stats: numbers from arrays, without torch: scores, folds, calibration, out-of-distribution limits, paired tests.
    fit: the regime, the linear head, fine-tuning, the choice between them.
    inference: the saved model at work: classification, export, heat maps.
    evaluation: held-out answers, and what is measured of a model.
    export: the model for other programs: the registry of formats, timm, the hub.
    report: the report page, the model card and the credits of a run.
"""

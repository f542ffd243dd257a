"""Evaluation of frozen features: nearest neighbours, linear probes, subsets of labels."""

from typing import TYPE_CHECKING

from pcrq import lazy_exports

if TYPE_CHECKING:
    from pcrq.evaluation.features import category_names as category_names
    from pcrq.evaluation.features import eval_mode as eval_mode
    from pcrq.evaluation.features import label_subset as label_subset
    from pcrq.evaluation.features import save_features as save_features
    from pcrq.evaluation.features import subset as subset
    from pcrq.evaluation.knn import knn_accuracy as knn_accuracy
    from pcrq.evaluation.knn import nearest_neighbors as nearest_neighbors
    from pcrq.evaluation.linear_probe import LabelledFeatures as LabelledFeatures
    from pcrq.evaluation.linear_probe import linear_accuracy as linear_accuracy
    from pcrq.evaluation.linear_probe import logistic_probe as logistic_probe
    from pcrq.evaluation.linear_probe import sgd_probe as sgd_probe
    from pcrq.evaluation.linear_probe import train_linear as train_linear

_MODULES = {
    "knn_accuracy": "knn",
    "nearest_neighbors": "knn",
    "logistic_probe": "linear_probe",
    "sgd_probe": "linear_probe",
    "train_linear": "linear_probe",
    "linear_accuracy": "linear_probe",
    "LabelledFeatures": "linear_probe",
    "label_subset": "features",
    "subset": "features",
    "save_features": "features",
    "category_names": "features",
    "eval_mode": "features",
}
__all__ = list(_MODULES)
__getattr__, __dir__ = lazy_exports(__name__, _MODULES)

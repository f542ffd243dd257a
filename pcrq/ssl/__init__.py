"""Self-supervised learning from two views: MoCo v3, BYOL, and the baselines of the paper's tables 3 and 5."""

from typing import TYPE_CHECKING

from pcrq import lazy_exports

if TYPE_CHECKING:
    from pcrq.ssl.distributed import first_row as first_row
    from pcrq.ssl.distributed import gather as gather
    from pcrq.ssl.mixing import DACL as DACL
    from pcrq.ssl.mixing import IMix as IMix
    from pcrq.ssl.msf import MSF as MSF
    from pcrq.ssl.optimizer import LARS as LARS
    from pcrq.ssl.optimizer import cosine_momentum as cosine_momentum
    from pcrq.ssl.optimizer import scaled_learning_rate as scaled_learning_rate
    from pcrq.ssl.optimizer import warmup_cosine as warmup_cosine
    from pcrq.ssl.siamese import BYOL as BYOL
    from pcrq.ssl.siamese import Baseline as Baseline
    from pcrq.ssl.siamese import MoCoV3 as MoCoV3
    from pcrq.ssl.siamese import SiameseFramework as SiameseFramework
    from pcrq.ssl.ssql import SSQL as SSQL

_MODULES = {
    "MoCoV3": "siamese",
    "BYOL": "siamese",
    "MSF": "msf",
    "DACL": "mixing",
    "IMix": "mixing",
    "SSQL": "ssql",
    "SiameseFramework": "siamese",
    "Baseline": "siamese",
    "LARS": "optimizer",
    "scaled_learning_rate": "optimizer",
    "warmup_cosine": "optimizer",
    "cosine_momentum": "optimizer",
    "gather": "distributed",
    "first_row": "distributed",
}
__all__ = list(_MODULES)
__getattr__, __dir__ = lazy_exports(__name__, _MODULES)

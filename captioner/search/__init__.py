"""From features to captions: one batched loop in the graph, for any decoder or several."""

from captioner.search.beam import beam_search
from captioner.search.compiled import BeamSearch, Sampling, Search
from captioner.search.constraints import Constraints
from captioner.search.ensemble import Ensemble
from captioner.search.options import SearchOptions
from captioner.search.sampling import sample

__all__ = [
    "BeamSearch",
    "Constraints",
    "Ensemble",
    "Sampling",
    "Search",
    "SearchOptions",
    "beam_search",
    "sample",
]

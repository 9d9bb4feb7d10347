"""The console's ports of what watches: KPIs, experiments, drift, links to other tools."""

from pipelines.console.drift import port as drift
from pipelines.console.experiments import port as experiments
from pipelines.console.kpis import port as kpis
from pipelines.console.links import port as links

__all__ = ["drift", "experiments", "kpis", "links"]

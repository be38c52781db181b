"""The dashboard: its layout, its metrics and its alarms."""

import json
import re

from checks import metrics
from template import REGION


def dashboard(view):
    """The dashboard shows every alarm, and every metric that the functions emit."""
    shown = set()
    yield from widgets(view, shown)
    for metric in sorted(set(view.facts["metrics"]) - shown):
        yield f"dashboard: {metric} is not shown"


def widgets(view, shown_metrics):
    """The dashboard's widgets are in their places, and show every alarm and what there is. Notes the functions' metrics that
    are shown."""
    dashboards = list(view.of("AWS::CloudWatch::Dashboard").values())
    if len(dashboards) != 1:
        yield "there is no dashboard"
        return
    try:
        widgets = json.loads(dashboards[0]["DashboardBody"])["widgets"]
    except ValueError as error:
        yield f"the dashboard is no JSON: {error}"
        return
    shown_alarms, taken = set(), set()
    for widget in widgets:
        properties = widget["properties"]
        title = f"dashboard, {properties.get('title')}"
        if widget["x"] + widget["width"] > 24:
            yield f"{title}: wider than the dashboard"
        cells = {
            (x, y)
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        }
        if cells & taken:
            yield f"{title}: overlaps another"
        taken |= cells
        if widget["type"] == "alarm":
            shown_alarms |= {arn.rsplit(":", 1)[-1] for arn in properties["alarms"]}
            continue
        if properties.get("region") != REGION or properties.get("period", 0) % 60:
            yield f"{title}: region or period"
        for row in properties["metrics"]:
            *row, options = row if isinstance(row[-1], dict) else [*row, {}]
            namespace, metric, *pairs = row
            yield from metrics.faults(view, title, namespace, metric, dict(zip(pairs[::2], pairs[1::2])))
            statistic = options.get("stat", properties.get("stat"))
            if statistic not in metrics.STATISTICS and not re.fullmatch(r"p\d\d?(\.\d+)?", str(statistic)):
                yield f"{title}: no statistic {statistic}"
            if namespace == view.facts["metric_namespace"]:
                shown_metrics.add(metric)
    for name in sorted(shown_alarms ^ set(view.alarms)):
        yield f"dashboard: alarm {name} is only there or only here"

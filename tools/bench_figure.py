"""What a benchmark returns."""
import collections

# group: figures that are drawn side by side, in one scale. most, least: a bound that the value should be below, or
# above. None: there is none.
Figure = collections.namedtuple("Figure", "group name value unit most least", defaults=(None, None))


class Skipped(Exception):
    """What the benchmark needs is not installed."""

"""How many ECGs or files a second, and how long, in words."""


def per_second(rate: float, items: str) -> str:
    """Such as ``1,204 ECG/s``; two digits below ten, so that a slow machine is no standstill.

    >>> per_second(0.412, "ECG")
    '0.41 ECG/s'
    """
    return f"{rate:,.0f} {items}/s" if rate >= 9.95 else f"{rate:.2g} {items}/s"


def duration(seconds: float) -> str:
    """Such as ``40 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"

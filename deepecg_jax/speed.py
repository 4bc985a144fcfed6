"""How many ECGs or files a second, in words."""


def per_second(rate: float, items: str) -> str:
    """Such as ``1,204 ECG/s``; two digits below ten, so that a slow machine is no standstill.

    >>> per_second(0.412, "ECG")
    '0.41 ECG/s'
    """
    return f"{rate:,.0f} {items}/s" if rate >= 9.95 else f"{rate:.2g} {items}/s"

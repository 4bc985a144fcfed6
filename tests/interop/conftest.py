"""The bundles of these tests."""

from bundles import *  # noqa: F403

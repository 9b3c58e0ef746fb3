"""The version, in one place: the build, saved files and ``minidl config`` read it from here."""

__version__ = "0.1.0"

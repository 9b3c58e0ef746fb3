"""The engine: a network as a flat vector of numbers with names and a short list of ops.

Layers lower to a :class:`~minidl.engine.builder.Program`; :mod:`minidl.engine.program` binds it to
memory and runs many steps without the GIL; :mod:`minidl.engine.reference` runs the same program in NumPy
float64 and is the oracle of the tests. The README.md beside this file explains the room.
"""

"""The table of layers that ``net.summary()`` returns."""

from __future__ import annotations

from minidl.initialization import choices


def summary(net) -> str:
    """Return a table of the layers of a built network; see :meth:`minidl.Sequential.summary`."""
    chosen = choices(net.layers, net.init, net.n_inputs)
    initializers = {spec.path: initializer for spec, initializer in chosen}
    header = ("layer", "kind", "shape", "activation", "init", "parameters")
    rows = []
    width = net.n_inputs
    for path, layer in enumerate(net.layers):
        shapes = layer.parameters(width)
        out = layer.n_outputs(width)
        count = sum(net.params[f"{path}.{role}"].size for role in shapes)
        initializer = repr(initializers[str(path)]) if str(path) in initializers else "-"
        rows.append(
            (
                str(path),
                type(layer).__name__,
                f"{width} -> {out}",
                str(layer.activation),
                initializer,
                f"{count:,}" if shapes else "-",
            )
        )
        width = out
    total = f"{net.params.count:,} parameters, {net.params.flat.nbytes / 1e6:.3g} MB, {net.dtype}"
    return "\n".join([*format_table(header, rows), "", f"{total}, seed {net.seed}"])


def format_table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Return the lines of a table with columns as wide as their widest cell; numbers to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    numeric = [
        all(row[i].replace(",", "").replace(".", "").lstrip("-").isdigit() or row[i] == "-" for row in rows)
        for i in range(len(header))
    ]
    return [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in [header, *rows]
    ]

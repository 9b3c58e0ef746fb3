"""Fits every polynomial of the vector functions and prints the tables of csrc/leaf/vmath*.inc.c.

    python csrc/tools/fit_coefficients.py float32 > csrc/leaf/vmath_f32.inc.c
    python csrc/tools/fit_coefficients.py float64 > csrc/leaf/vmath_f64.inc.c
    python csrc/tools/fit_coefficients.py two_over_pi > csrc/leaf/vmath_two_over_pi.inc.c

Each fit is a Remez exchange on a dense Chebyshev grid, in 60-digit arithmetic: the largest error,
relative to the function that the polynomial serves, is made as small as possible. Coefficients are
rounded to the dtype one by one, lowest order first, and the rest is fitted again after each rounding.
Stated errors are those of the rounded coefficients, exactly evaluated, on a finer grid, in units of
half an ulp at 1 (2^-24 and 2^-53). Needs mpmath; takes about a minute.

Reference: E. Ya. Remez, "Sur la determination des polynomes d'approximation de degre donnee", 1934;
for the use in elementary functions J.-M. Muller, "Elementary Functions", 3rd edition, 2016.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass

from mpmath import mp, mpf

mp.dps = 60


@dataclass(frozen=True)
class Dtype:
    """What the tables depend on."""

    name: str
    digits: int  # of the significand
    literal: str  # suffix of a C literal

    def round(self, x: mpf) -> mpf:
        """Round to nearest, ties to even; exponents of the tables are far from the limits."""
        mantissa, exponent = mp.frexp(x)
        return mp.ldexp(mp.nint(mp.ldexp(mantissa, self.digits)), exponent - self.digits)

    def truncate(self, x: mpf, digits: int) -> mpf:
        """Keep the leading `digits` binary digits."""
        mantissa, exponent = mp.frexp(x)
        return mp.ldexp(mp.floor(mp.ldexp(mantissa, digits)), exponent - digits)

    def hex(self, x: mpf) -> str:
        """Write a number of this dtype as a C literal, exactly."""
        value = float(x)
        assert mpf(value) == x == self.round(x)
        mantissa, exponent = value.hex().split("p")
        if "." in mantissa:
            mantissa = mantissa.rstrip("0").rstrip(".")
        return f"{mantissa}p{int(exponent)}{self.literal}"


DTYPES = {
    "float32": Dtype("float32", 24, "f"),
    "float64": Dtype("float64", 53, ""),
}


def grid(low, high, n: int) -> list[mpf]:
    """Chebyshev points of an interval; none is an end of it."""
    middle, radius = (mpf(low) + high) / 2, (mpf(high) - low) / 2
    return [middle + radius * mp.cos(mp.pi * (2 * i + 1) / (2 * n)) for i in reversed(range(n))]


def horner(c: list[mpf], x: mpf) -> mpf:
    """Evaluate c[0] + c[1] x + ... ."""
    result = mpf(0)
    for a in reversed(c):
        result = result * x + a
    return result


def exchange(errors: list[mpf], count: int) -> list[int]:
    """Indices of `count` alternating extrema of an error curve, the largest of them included."""
    peaks: list[int] = []
    for i, e in enumerate(errors):
        if peaks and (errors[peaks[-1]] > 0) == (e > 0):
            if abs(e) > abs(errors[peaks[-1]]):
                peaks[-1] = i
        else:
            peaks.append(i)
    while len(peaks) > count:
        if len(peaks) == count + 1:  # drop the smaller end
            peaks.pop(0 if abs(errors[peaks[0]]) < abs(errors[peaks[-1]]) else -1)
        else:  # drop the smallest pair of neighbours
            pairs = [max(abs(errors[a]), abs(errors[b])) for a, b in itertools.pairwise(peaks)]
            worst = min(range(len(pairs)), key=pairs.__getitem__)
            del peaks[worst : worst + 2]
    return peaks


def remez(x: list[mpf], g: list[mpf], w: list[mpf], powers: list[int]) -> list[mpf]:
    """Coefficients c minimizing max |w (g - sum_j c_j x^powers[j])| over the points."""
    count = len(powers) + 1
    reference = [round(i * (len(x) - 1) / (count - 1)) for i in range(count)]
    for _ in range(30):
        a, b = mp.matrix(count), mp.matrix(count, 1)
        for row, i in enumerate(reference):
            for column, power in enumerate(powers):
                a[row, column] = x[i] ** power
            a[row, count - 1] = (-1) ** row / w[i]
            b[row] = g[i]
        solution = mp.lu_solve(a, b)
        c, level = [solution[j] for j in range(count - 1)], abs(solution[count - 1])
        errors = [
            wi * (gi - sum(cj * xi**p for cj, p in zip(c, powers, strict=True)))
            for xi, gi, wi in zip(x, g, w, strict=True)
        ]
        found = exchange(errors, count)
        if len(found) < count or max(map(abs, errors)) <= level * mpf("1.0001"):
            break
        reference = found
    return c


def fit_polynomial(
    dtype: Dtype, degree: int, low, high, target: Callable, weight: Callable
) -> tuple[list[mpf], mpf]:
    """Fit target(x) by rounded c[0] + ... + c[degree] x^degree; error in units of half an ulp at 1."""
    x = grid(low, high, 24 * (degree + 2))
    g, w = [target(a) for a in x], [weight(a) for a in x]
    done: list[mpf] = []
    while len(done) <= degree:
        rest = [gi - horner(done, xi) for gi, xi in zip(g, x, strict=True)]
        c = remez(x, rest, w, list(range(len(done), degree + 1)))
        done.append(dtype.round(c[0]))
    fine = grid(low, high, 2000)
    error = max(abs(weight(a) * (target(a) - horner(done, a))) for a in fine)
    return done, error * 2**dtype.digits


def fit_rational(dtype: Dtype, n: int, high, target: Callable):
    """Fit target on [0, high] by N(x) / D(x) of degrees n-1 and n, D(0) = 1, in relative error.

    The points are dense near 0: Chebyshev in (x - 3) / (x + 3).
    """
    end = (mpf(high) - 3) / (high + 3)
    x = [3 * (1 + u) / (1 - u) for u in grid(-1, end, 24 * (2 * n + 1))]
    g = [target(a) for a in x]
    count = 2 * n + 1
    reference = [round((2 * i + 1) * len(x) / (2 * count)) for i in range(count)]
    den = [mpf(1)] + [mpf(0)] * n
    for step in range(60):
        # N - g D = +-level g D, with the D of the step before on the right
        a, b = mp.matrix(count), mp.matrix(count, 1)
        for row, i in enumerate(reference):
            for p in range(n):
                a[row, p] = x[i] ** p
                a[row, n + p] = -g[i] * x[i] ** (p + 1)
            a[row, count - 1] = -((-1) ** row) * g[i] * horner(den, x[i])
            b[row] = g[i]
        solution = mp.lu_solve(a, b)
        num = [solution[p] for p in range(n)]
        den = [mpf(1)] + [solution[n + p] for p in range(n)]
        level = abs(solution[count - 1])
        errors = [1 - horner(num, xi) / horner(den, xi) / gi for xi, gi in zip(x, g, strict=True)]
        found = exchange(errors, count)
        if len(found) == count:
            reference = found
        if step > 4 and max(map(abs, errors)) <= level * mpf("1.001"):
            break
    num, den = [dtype.round(c) for c in num], [dtype.round(c) for c in den]
    error = max(abs(1 - horner(num, xi) / horner(den, xi) / gi) for xi, gi in zip(x, g, strict=True))
    return num, den, error * 2**dtype.digits


# --- the functions ------------------------------------------------------------------------------

TINY = mpf(2) ** -60  # stands for 0, where a target would be 0 / 0
HALF_LN2 = mp.log(2) / 2 * mpf("1.0001")  # the nearest integer may miss by a rounding
LOG_LOW, LOG_HIGH = mp.sqrt(mpf(1) / 2) - 1, mp.sqrt(2) - 1
QUARTER_PI = mp.pi / 4 * mpf("1.0001")
DEGREES = {  # numbers of fused multiply-adds, the lowest that keep the errors below an ulp
    "float32": {"exp": 4, "log": 7, "sin": 2, "cos": 2, "atan": 3, "erf": 5, "erfc": 5, "tail": 5},
    "float64": {"exp": 10, "log": 6, "sin": 5, "cos": 5, "atan": 10, "erf": 10, "erfc": 17, "tail": 10},
}


def odd(f: Callable) -> tuple[Callable, Callable]:
    """Target and weight of an odd function f(x) = x + x^3 P(x^2), as functions of z = x^2."""

    def target(z):
        x = mp.sqrt(z)
        return (f(x) / x - 1) / z

    def weight(z):
        x = mp.sqrt(z)
        return x * z / f(x)

    return target, weight


def polynomials(dtype: Dtype):
    """Yield name, formula, interval, coefficients and error of each polynomial."""
    degree = DEGREES[dtype.name]

    def fit(name, *arguments):
        return fit_polynomial(dtype, degree[name], *arguments)

    yield (
        "exp_q",
        "e^r = 1 + r + r^2 q(r)",
        "|r| <= ln 2 / 2",
        *fit(
            "exp",
            -HALF_LN2,
            HALF_LN2,
            lambda r: (mp.expm1(r) - r) / r**2,
            lambda r: abs(r**2 / mp.expm1(r)),
        ),
    )
    if dtype.name == "float32":
        yield (
            "log_p",
            "log(1 + f) = f - f^2/2 + f^3 P(f)",
            "sqrt(1/2) - 1 <= f <= sqrt(2) - 1",
            *fit(
                "log",
                LOG_LOW,
                LOG_HIGH,
                lambda f: (mp.log1p(f) - f + f**2 / 2) / f**3,
                lambda f: abs(f**3 / mp.log1p(f)),
            ),
        )
    else:
        target, weight = odd(mp.atanh)
        yield (
            "log_p",
            "log(1 + f) = 2 s + s^3 P(s^2), s = f / (2 + f)",
            "|s| <= tan(pi / 8)^2",
            *fit(
                "log",
                TINY,
                (LOG_HIGH / (2 + LOG_HIGH)) ** 2,
                lambda z: 2 * target(z),
                lambda z: weight(z) / 2,
            ),
        )
    yield "sin_p", "sin r = r + r^3 P(r^2)", "|r| <= pi / 4", *fit("sin", TINY, QUARTER_PI**2, *odd(mp.sin))
    yield (
        "cos_p",
        "cos r = 1 - r^2/2 + r^4 P(r^2)",
        "|r| <= pi / 4",
        *fit(
            "cos",
            TINY,
            QUARTER_PI**2,
            lambda z: (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2,
            lambda z: z**2 / mp.cos(mp.sqrt(z)),
        ),
    )
    yield (
        "atan_p",
        "arctan t = t + t^3 P(t^2)",
        "|t| <= tan(pi / 8)",
        *fit("atan", TINY, (mp.sqrt(2) - 1) ** 2, *odd(mp.atan)),
    )
    middle, end = mpf("0.875"), {24: 4, 53: 6}[dtype.digits]  # where one takes over; where erf rounds to 1
    yield (
        "erf_p",
        "erf x = x + x P(x^2)",
        f"|x| <= {mp.nstr(middle)}",
        *fit(
            "erf",
            TINY,
            middle**2,
            lambda z: mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1,
            lambda z: mp.sqrt(z) / mp.erf(mp.sqrt(z)),
        ),
    )
    yield (
        "erf_q",
        "erf x = 1 - e^(x Q(x))",
        f"{mp.nstr(middle)} <= x <= {end}",
        *fit(
            "erfc",
            middle,
            mpf(end),
            lambda x: mp.log(mp.erfc(x)) / x,
            lambda x: x * mp.erfc(x) / mp.erf(x),
        ),
    )


def print_array(dtype: Dtype, name: str, c: list[mpf]) -> None:
    """Print a C array, lowest order first."""
    per_line = 5 if dtype.digits == 24 else 4
    lines = [c[i : i + per_line] for i in range(0, len(c), per_line)]
    body = ",\n    ".join(", ".join(dtype.hex(a) for a in line) for line in lines)
    print(f"static const real {name}[{len(c)}] = {{\n    {body}}};")


def split(dtype: Dtype, x: mpf, digits: int, count: int) -> list[mpf]:
    """Split x into parts of `digits` binary digits, the last one rounded to all digits."""
    parts = []
    for _ in range(count - 1):
        parts.append(dtype.truncate(x, digits))
        x -= parts[-1]
    return [*parts, dtype.round(x)]


def print_tables(dtype: Dtype) -> None:
    """Print the tables of one dtype."""
    ln2_digits, pi_digits = {24: (15, 16), 53: (41, 36)}[dtype.digits]
    print(f"/* Constants of the vector functions in {dtype.name}: printed by csrc/tools/fit_coefficients.py.")
    print(f"   Errors are relative to the function, in units of 2^-{dtype.digits} (half an ulp at 1). */")
    print(f"\n/* n LN2_HI is exact for |n| < 2^{dtype.digits - ln2_digits}. */")
    hi, lo = split(dtype, mp.log(2), ln2_digits, 2)
    for name, value in (("LOG2_E", dtype.round(1 / mp.log(2))), ("LN2_HI", hi), ("LN2_LO", lo)):
        print(f"#define {name} {dtype.hex(value)}")
    exact = dtype.digits - pi_digits
    print(f"\n/* pi / 2 in four parts; n times one of the first three is exact for |n| < 2^{exact}. */")
    print(f"#define TWO_OVER_PI {dtype.hex(dtype.round(2 / mp.pi))}")
    print_array(dtype, "half_pi_parts", split(dtype, mp.pi / 2, pi_digits, 4))
    for name, formula, interval, c, error in polynomials(dtype):
        print(f"\n/* {formula} for {interval}: degree {len(c) - 1}, error {mp.nstr(error, 2)} */")
        print_array(dtype, name, c)
    n, high = DEGREES[dtype.name]["tail"], {24: 14.5, 53: 39.0}[dtype.digits]
    num, den, error = fit_rational(dtype, n, high, lambda t: mp.exp(t * t / 2) * mp.erfc(t / mp.sqrt(2)) / 2)
    print("\n/* e^(t^2/2) Phi(-t) = N(t) / D(t), where Phi is the normal distribution function, for")
    facts = f"degrees {n - 1} and {n}, error {mp.nstr(error, 2)}. All terms are positive."
    print(f"   0 <= t <= {high}: {facts} */")
    print_array(dtype, "tail_num", num)
    print_array(dtype, "tail_den", den)


def print_two_over_pi() -> None:
    """Print the binary digits of 2 / pi, after 64 zeros, in words of 64 bits."""
    with mp.workprec(1400):
        digits = int(mp.floor(mp.ldexp(2 / mp.pi, 19 * 64)))
    words = [0] + [(digits >> (64 * (18 - i))) & (2**64 - 1) for i in range(19)]
    print("/* 64 zeros, and the first 1216 binary digits of 2 / pi. */")
    print("static const uint64_t two_over_pi[20] = {")
    for i in range(0, 20, 4):
        print("    " + ", ".join(f"0x{word:016x}" for word in words[i : i + 4]) + ",")
    print("};")


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1] in DTYPES:
        print_tables(DTYPES[sys.argv[1]])
    elif sys.argv[1:] == ["two_over_pi"]:
        print_two_over_pi()
    else:
        sys.exit(__doc__)

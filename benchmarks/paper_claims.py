"""The claims of the VDSR paper, shown small: five comparisons and a plot of each.

    python benchmarks/paper_claims.py PACK [--steps 600] [--plot claims.png]

Kim, Lee, Lee, CVPR 2016, sections 3 and 4: (1) predicting the residual beats predicting
the picture; (2) VDSR beats SRCNN from early on; (3) one network for all scales is as
good as one for each; (4) deeper is better; (5) a high rate needs clipped gradients.

Reduced: width 32 instead of 64, depth 10 where depth is not the question, a few hundred
steps of 8 patches instead of 10,000 of 64, Muon and L1 instead of SGD and MSE but for (5),
PSNR on kept-out pictures of the same pack, one seed. So it shows directions, not sizes. By
default about 20 minutes on two cores.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import machine

from vdsr.data.packfile import Pack, read_pack
from vdsr.errors import VdsrError
from vdsr.training.recipe import (
    DataSettings,
    NetworkSettings,
    OptimizerSettings,
    Phase,
    Recipe,
    Stage,
)
from vdsr.training.trainer import train

SCALES = (2, 3, 4)
SGD = OptimizerSettings(kind="sgd", momentum=0.9, decay=1e-4)


def base(steps: int) -> Recipe:
    return Recipe(
        name="VDSR, 10 layers",
        ema=0.98,
        validations=10,
        network=NetworkSettings(width=32),
        data=DataSettings(scales=SCALES, patch=41, batch=8, focus=1.0),
        optimizer=OptimizerSettings(kind="muon", momentum=0.95),
        phases=(Phase(loss="l1", clip_norm=0.5),),
        stages=(Stage(depth=10, steps=steps, rate=0.015, warmup=0.05),),
    )


def runs(steps: int) -> dict[str, list[Recipe]]:
    """The recipes of every claim; equal ones are trained once."""
    vdsr = base(steps)
    (stage,) = vdsr.stages
    summed = Phase(loss="mse", reduction="half_sum")
    high = replace(vdsr, optimizer=SGD, ema=0.9, stages=(replace(stage, rate=0.1),))
    return {
        "residual or direct": [
            vdsr,
            replace(vdsr, name="direct", network=NetworkSettings(width=32, residual=False)),
        ],
        "VDSR or SRCNN": [
            vdsr,
            replace(
                vdsr,
                name="SRCNN 9-5-5",
                network=NetworkSettings(kind="srcnn"),
                stages=(replace(stage, depth=3),),
            ),
        ],
        "one network or three": [
            vdsr,
            *(
                replace(vdsr, name=f"x{s} only", data=replace(vdsr.data, scales=(s,)))
                for s in SCALES
            ),
        ],
        "depth": [
            replace(vdsr, name="5 layers", stages=(replace(stage, depth=5),)),
            vdsr,
            replace(vdsr, name="20 layers", stages=(replace(stage, depth=20),)),
        ],
        "rate 0.1": [
            replace(high, name="clipped to theta/rate", phases=(replace(summed, clip_theta=1e-4),)),
            replace(high, name="not clipped", phases=(summed,)),
        ],
    }


def main(path: Path, steps: int, plot: Path | None) -> None:
    pack = read_pack(path)
    done: dict[str, dict[str, Any]] = {}
    claims: dict[str, dict[str, Any]] = {}
    for claim, recipes in runs(steps).items():
        print(claim)
        for recipe in recipes:
            if recipe.digest not in done:
                done[recipe.digest] = run(recipe, pack)
            claims.setdefault(claim, {})[recipe.name] = done[recipe.digest]
            print(f"    {recipe.name:<24}{summary(done[recipe.digest])}", flush=True)
    machine.record("paper-claims", {"steps": steps, "data": pack.data, "claims": claims})
    if plot is not None:
        draw(claims, plot)


def run(recipe: Recipe, pack: Pack) -> dict[str, Any]:
    """Train, and give the gain over bicubic in dB by scale, over steps and seconds."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            outcome = train(recipe, pack, Path(folder))
        except VdsrError as error:
            return {"failed": str(error).partition(":")[0], "curve": []}
    curve = [
        {
            "step": score["step"],
            "seconds": round(score["seconds"], 1),
            **{s: round(score[s] - outcome.bicubic[s], 3) for s in outcome.bicubic},
        }
        for score in outcome.scores
    ]
    return {"curve": curve}


def summary(result: dict[str, Any]) -> str:
    if not result["curve"]:
        return str(result["failed"])
    last = result["curve"][-1]
    gains = ", ".join(f"{s} {last[s]:+.2f} dB" for s in last if s.startswith("x"))
    return f"{gains} over bicubic, in {last['seconds']:.0f} s"


def draw(claims: dict[str, dict[str, Any]], path: Path) -> None:
    """One panel a claim: the gain at the smallest scale of each run that has one."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(claims), figsize=(4 * len(claims), 3.5))
    for panel, (claim, results) in zip(panels, claims.items(), strict=True):
        axis = "seconds" if claim == "VDSR or SRCNN" else "step"
        for name, result in results.items():
            curve = result["curve"]
            for scale in [s for s in ("x2", "x3", "x4") if curve and s in curve[0]]:
                if claim != "one network or three" and scale != "x3":
                    continue
                dashed = "--" if name.endswith("only") else "-"
                label = f"{name}, {scale}"
                xs, ys = [c[axis] for c in curve], [c[scale] for c in curve]
                panel.plot(xs, ys, dashed, label=label)
            if not curve:
                panel.plot([], [], "x", label=f"{name}: {result['failed']}")
        panel.set(title=claim, xlabel=axis, ylabel="dB over bicubic")
        panel.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pack", type=Path)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    main(given.pack, given.steps, given.plot)

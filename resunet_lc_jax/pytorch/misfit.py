"""Why a file's weights do not fit a network, in words: the likely cause first, and a short list."""

from collections.abc import Mapping

from resunet_lc_jax.pytorch.names import printable

Shapes = Mapping[str, tuple[int, ...]]

_MOST_OF_A_KIND = 6  # lines: with three kinds of misfit a message of at most 20

# A network is told by the layers that it alone has, the first match from the top.
_SIGNS = (
    ("MyNet", "mvms_net"),
    ("resblock1d", "ribeiro_resnet"),
    ("mha.", "isibrno"),
    ("rub_", "resunet_lc"),
    ("lc.", "res2d_lc"),
    ("inconv.conv1_1.", "res2d_maxpool"),
    ("rb_", "res1d_maxpool"),
)
_STEMS = tuple(f"{stem}.weight" for stem in ("inconv.conv1_1", "inconv.conv", "conv1", "conv"))
_HEADS = ("lin.bias", "ch_fc2.bias", "fc.bias")


def misfit(given: Shapes, wanted: Shapes, model_name: str) -> str | None:
    """What differs between a file and a network, in at most 20 lines; None where nothing does.

    Shapes are by PyTorch name, the file's (without counts of steps) and the network's.
    """
    missing = [f"missing: {name}" for name in sorted(wanted) if name not in given]
    misshaped = [
        f"shape: {name} is {given[name]} there, {wanted[name]} here"
        for name in sorted(wanted)
        if name in given and given[name] != wanted[name]
    ]
    unexpected = [f"unexpected: {name}" for name in sorted(given) if name not in wanted]
    lines: list[str] = []
    for kind in (missing, misshaped, unexpected):
        lines += [printable(line) for line in kind[:_MOST_OF_A_KIND]]
    if not lines:
        return None
    if more := len(missing) + len(misshaped) + len(unexpected) - len(lines):
        lines.append(f"and {more} more")
    heading = f"the PyTorch weights do not fit {model_name} as configured"
    return "\n  ".join([f"{heading} ({_cause(given, wanted)}?):", *lines])


def _cause(given: Shapes, wanted: Shapes) -> str:
    network, here = _network(given), _network(wanted)
    if network != here:
        if network is None:
            return "another network"
        return f"another network, {network}: --config.model.name={network}"
    common = {name: (given[name], wanted[name]) for name in wanted if name in given}
    width = next((common[name] for name in _STEMS if name in common), None)
    if width and width[0][0] != width[1][0]:
        return f"another width: --config.model.width={width[0][0]}"
    if (head := next((common[n] for n in _HEADS if n in common), None)) and head[0] != head[1]:
        return (
            f"another number of classes, {head[0][0]} in place of {head[1][0]}: train a new head "
            "with --config.init_from"
        )
    differing = {name for name, (one, other) in common.items() if one != other}
    if not differing:
        return "another network"
    if differing <= {"lc.conv2_2.weight", "lin.weight"}:
        return "another signal length: --config.data.length"
    if differing <= {"lc.conv2_1.weight", "lc.conv2_2.weight", "fc_1.weight", *_STEMS}:
        return "another number of leads: --config.data.leads"
    return "another width"


def _network(shapes: Shapes) -> str | None:
    for sign, network in _SIGNS:
        if any(name.startswith(sign) for name in shapes):
            return network
    return None

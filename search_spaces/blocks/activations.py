"""The activations a layer may name; what they are is timm's `create_act_layer`."""

ACTIVATIONS = ("relu", "relu6", "hard_swish", "silu")
GATES = ("sigmoid", "hard_sigmoid")

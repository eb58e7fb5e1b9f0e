"""Around a space: a recipe beside its archs, choices that never fall, genes that say nothing."""

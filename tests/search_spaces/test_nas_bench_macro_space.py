"""NAS-Bench-Macro's space against its published table: all 6,561 networks."""

import numpy as np

from experiments import nas_bench_macro


def test_parameters_and_macs_of_every_network_equal_the_table() -> None:
    space, table = nas_bench_macro.space(), nas_bench_macro.Table()
    assert len(table.population) == space.size == 6561
    np.testing.assert_array_equal(space.count("params")(table.population), table.params)
    np.testing.assert_array_equal(space.count("macs")(table.population), table.macs)


def test_rows_are_found_and_the_best_is_the_published_one() -> None:
    table = nas_bench_macro.Table()
    np.testing.assert_array_equal(table.index(table.population), np.arange(6561))
    best = table.index(
        np.array([[2, 2, 2, 1, 2, 2, 2, 0], [2, 2, 2, 1, 2, 2, 0, 2]])
    )  # two networks share the first place
    np.testing.assert_allclose(table.accuracy[best], table.accuracy.max(), atol=1e-3)
    assert abs(table.accuracy.max() - 93.127) < 1e-3

"""Training once per digest: what is reused, what is not, and what becomes of damaged files."""

import os
from dataclasses import replace

import numpy as np
import pytest

from harness.training import cache as module
from harness.training.algorithms import effective
from harness.training.cache import ModelCache, shared, training_key
from harness.training.fit import fit, unfitted

from .conftest import make_rows

FOREST = {"n_estimators": 10, "random_state": 1}


@pytest.fixture(autouse=True)
def all_is_worth_writing(monkeypatch):
    monkeypatch.setattr(module, "WORTH_NS", -1)


def get(cache, rows, word="random_forest", **params):
    given = effective(word, {**(FOREST if word == "random_forest" else {}), **params}, 1)
    pipeline = unfitted(word, given, rows)
    return cache.get(training_key(pipeline, rows), lambda: fit(word, pipeline, rows))


def test_a_model_is_trained_once_in_a_process(rows):
    cache = ModelCache()
    first, reused = get(cache, rows)
    again, reused_again = get(cache, rows)
    assert (reused, reused_again) == (False, True)
    assert again is first


def test_a_model_is_trained_once_in_a_folder(rows, tmp_path):
    first, _ = get(ModelCache(tmp_path), rows, max_iter=1, word="logistic_regression")
    again, reused = get(ModelCache(tmp_path), rows, max_iter=1, word="logistic_regression")
    assert reused
    assert again.digest == first.digest
    assert again.notes == first.notes != ()
    assert (again.estimator.predict_proba(rows.rows) == first.estimator.predict_proba(rows.rows)).all()
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".json", ".skops"]


def test_whatever_decides_a_model_is_in_its_key(rows):
    def key(rows, **params):
        given = effective("random_forest", {**FOREST, **params}, 1)
        return training_key(unfitted("random_forest", given, rows), rows)

    turned = replace(rows, target=1 - rows.target)
    keys = [
        key(rows),
        key(rows, n_estimators=11),
        key(rows, random_state=2),
        key(rows.take(np.arange(199))),
        key(turned),
        key(replace(rows, classes=("no", "yes"))),
        training_key(unfitted("extra_trees", effective("extra_trees", FOREST, 1), rows), rows),
    ]
    assert len(set(keys)) == len(keys)
    assert key(make_rows()) == keys[0]


@pytest.mark.parametrize("suffix", [".skops", ".json"])
@pytest.mark.parametrize("content", [b"", b"nonsense", b"[]", b"{}", b'{"digest": "sha256:0", "notes": []}'])
def test_a_damaged_file_is_discarded_and_the_model_trained_anew(rows, tmp_path, suffix, content):
    first, _ = get(ModelCache(tmp_path), rows)
    (file,) = tmp_path.glob(f"*{suffix}")
    file.write_bytes(content)
    again, reused = get(ModelCache(tmp_path), rows)
    assert not reused
    assert again.digest == first.digest
    assert get(ModelCache(tmp_path), rows)[1]


def test_another_model_under_the_key_is_found_out(rows, tmp_path):
    get(ModelCache(tmp_path), rows)
    get(ModelCache(tmp_path), rows, n_estimators=11)
    first, second = tmp_path.glob("*.skops")
    data = [first.read_bytes(), second.read_bytes()]
    first.write_bytes(data[1])
    second.write_bytes(data[0])
    assert not get(ModelCache(tmp_path), rows)[1]


def test_half_a_write_is_no_model(rows, tmp_path):
    get(ModelCache(tmp_path), rows)
    for file in tmp_path.glob("*.json"):  # written last
        file.unlink()
    assert not get(ModelCache(tmp_path), rows)[1]


def test_a_folder_that_cannot_be_written_is_no_obstacle(rows, tmp_path):
    (tmp_path / "file").write_text("")
    found, reused = get(ModelCache(tmp_path / "file" / "models"), rows)
    assert not reused
    assert found.digest


def test_old_models_make_room(rows, tmp_path, monkeypatch):
    get(ModelCache(tmp_path), rows)
    (oldest,) = tmp_path.glob("*.skops")
    os.utime(oldest, (1, 1))
    monkeypatch.setattr(module, "MAX_BYTES", int(oldest.stat().st_size * 2.5))
    get(ModelCache(tmp_path), rows, random_state=2)
    assert oldest.exists()
    get(ModelCache(tmp_path), rows, random_state=3)
    assert not oldest.exists()
    assert len(list(tmp_path.glob("*.skops"))) == len(list(tmp_path.glob("*.json"))) == 2


def test_quick_models_are_kept_in_memory_only(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "WORTH_NS", 10**12)
    cache = ModelCache(tmp_path)
    get(cache, rows)
    assert list(tmp_path.iterdir()) == []
    assert get(cache, rows)[1]


def test_memory_holds_a_few(rows):
    cache = ModelCache()
    for state in range(module.IN_MEMORY + 1):
        get(cache, rows, random_state=state)
    assert not get(cache, rows, random_state=0)[1]
    assert get(cache, rows, random_state=module.IN_MEMORY)[1]


def test_one_cache_for_one_folder(tmp_path):
    assert shared(tmp_path) is shared(tmp_path)
    assert shared(tmp_path) is not shared(None)

import numpy as np

from physldm.data.slices import add_session, close_store
from physldm.physics import Acquisition

PROTOCOL = [Acquisition.usual(name) for name in ("mprage", "spin_echo", "flair")]


def test_slices_that_a_scan_does_not_reach_are_absent(tmp_path):
    scans = np.ones((3, 3, 8, 8), np.float32)
    scans[1:, 2] = 0
    session = {"source": "", "acquisitions": PROTOCOL, "arrays": {"scans": scans}, "heights": range(3)}
    add_session(tmp_path, "sub-1", subject="1", **session)
    store = close_store(tmp_path, {"sub-1": "train"}, spacing=1, fingerprint="")
    assert store.batch([0, 1]).mask.tolist() == [[True, True, True], [True, True, False]]
    # a store that is being changed is no store until it is closed again
    add_session(tmp_path, "sub-2", subject="2", **session)
    assert not (tmp_path / "index.json").exists()


def test_slices_lie_where_their_sessions_say(tmp_path):
    where = {"sub-1": (60.0, 64.0, 68.0), "sub-2": (61.0, 63.0)}
    for name, heights in where.items():
        arrays = {"scans": np.ones((len(heights), 3, 8, 8), np.float32)}
        add_session(
            tmp_path, name, subject=name, source="", acquisitions=PROTOCOL, arrays=arrays, heights=heights
        )
    store = close_store(tmp_path, {"sub-1": "train", "sub-2": "heldout"}, spacing=1, fingerprint="")
    assert store.heights([0, 2, 3, 4]).tolist() == [60, 68, 61, 63]
    assert store.heights(store.of_session(1)).tolist() == list(where["sub-2"])

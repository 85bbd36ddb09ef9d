"""The Open Inference Protocol as NVIDIA's client speaks it, which knows nothing of this server."""

import numpy as np
import pytest

from tests.transformations.models.batch.conftest import by_hand
from tests.transformations.models.serving.conftest import NOW
from tests.worlds import weekly


def test_a_client_of_the_protocol_finds_the_server_its_models_and_the_scores_by_hand(port: int) -> None:
    from tritonclient import http
    from tritonclient.utils import InferenceServerException

    expected = by_hand(NOW)
    users = np.array(list(expected), dtype=np.int64)
    with http.InferenceServerClient(f"127.0.0.1:{port}", network_timeout=30) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.get_server_metadata()["name"] == "feature-platform"
        assert client.is_model_ready(weekly.MODEL)
        assert client.is_model_ready(weekly.MODEL, "1")
        assert not client.is_model_ready(weekly.MODEL, "7")
        metadata = client.get_model_metadata(weekly.MODEL)
        assert metadata["versions"] == ["1"]
        assert metadata["inputs"] == [{"name": "user_id", "datatype": "INT64", "shape": [-1]}]

        column = http.InferInput("user_id", [len(users)], "INT64")
        column.set_data_from_numpy(users, binary_data=False)
        wanted = [http.InferRequestedOutput(name, binary_data=False) for name in ("score", "decision", "model_version")]
        for version, named in (("", "a"), ("1", "b")):
            found = client.infer(weekly.MODEL, [column], model_version=version, outputs=wanted, request_id=named)
            assert found.get_response()["id"] == named
            assert found.as_numpy("score").tolist() == list(expected.values())
            assert found.as_numpy("decision").tolist() == [score >= 0.5 for score in expected.values()]
            assert set(found.as_numpy("model_version").tolist()) == {"1"}
        with pytest.raises(InferenceServerException, match="this server has no model 'nobody'"):
            client.infer("nobody", [column])


def test_every_output_comes_where_none_is_named(port: int) -> None:
    from tritonclient import http

    column = http.InferInput("user_id", [1, 1], "INT64")
    column.set_data_from_numpy(np.array([[7]], dtype=np.int64), binary_data=False)
    with http.InferenceServerClient(f"127.0.0.1:{port}", network_timeout=30) as client:
        found = client.infer(weekly.MODEL, [column])
        outputs = client.get_model_metadata(weekly.MODEL)["outputs"]
    assert [each["name"] for each in found.get_response()["outputs"]] == [each["name"] for each in outputs]
    assert found.as_numpy("score").tolist() == [by_hand(NOW)[7]]

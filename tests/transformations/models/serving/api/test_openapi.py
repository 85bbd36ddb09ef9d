"""The description of the API is true of what is served: each model's own request, and examples that pass."""

import jsonschema

from tests.transformations.models.serving.conftest import PATH, Serve, ask
from tests.worlds import weekly


async def test_each_model_has_its_own_request_and_its_answers_are_as_described(serve: Serve) -> None:
    async with serve() as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
        for path in (PATH, f"/v2/models/{weekly.MODEL}/infer"):
            content = paths[path]["post"]["requestBody"]["content"]["application/json"]
            jsonschema.validate(content["example"], content["schema"])
            assert (await client.post(path, json=content["example"])).status_code == 200
        answer = paths[PATH]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.validate((await ask(client, 7)).json(), answer)
        rows = paths[PATH]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]["rows"]
        assert rows["items"]["properties"]["user_id"]["type"] == "integer"
        assert (await client.get("/docs")).status_code == 200

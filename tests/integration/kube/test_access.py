"""Who may ask a controller from elsewhere, by a real API server's word."""

import asyncio
import json

import pytest

from porter.kube.access import ASKING_MAX, AUDIENCE, KubeAccess
from porter.kube.client import KubeClient
from porter.ports import AccessUnavailable, Forbidden, Unauthenticated

RULES = [{"nonResourceURLs": ["/v1/*"], "verbs": ["get"]}]


@pytest.fixture
async def tokens(api):
    """Tokens of a ServiceAccount that may look at things, by their audience ("" for the API server's own)."""
    space, rbac = api.namespace, "rbac.authorization.k8s.io"
    role = f"{space}-viewer"
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "oncall", "namespace": space}}
    await api.client.request("POST", f"/api/v1/namespaces/{space}/serviceaccounts", body=account)
    await api.client.request(
        "POST",
        f"/apis/{rbac}/v1/clusterroles",
        body={"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": {"name": role}, "rules": RULES},
    )
    subject = {"kind": "ServiceAccount", "name": "oncall", "namespace": space}
    binding = {
        "apiVersion": f"{rbac}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": role},
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": role},
        "subjects": [subject],
    }
    await api.client.request("POST", f"/apis/{rbac}/v1/clusterrolebindings", body=binding)

    async def token(audience):
        spec = {"audiences": [audience]} if audience else {}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        path = f"/api/v1/namespaces/{space}/serviceaccounts/oncall/token"
        return json.loads(await api.client.request("POST", path, body=body))["status"]["token"]

    yield {audience: await token(audience) for audience in (AUDIENCE, "")}
    for kind in ("clusterrolebindings", "clusterroles"):
        await api.client.request("DELETE", f"/apis/{rbac}/v1/{kind}/{role}")


async def test_who_has_the_right_is_admitted_by_name(api, tokens):
    access = KubeAccess(api.client)
    user = f"system:serviceaccount:{api.namespace}:oncall"
    assert await access.admit(tokens[AUDIENCE], "get", "/v1/status") == user
    assert await access.admit(tokens[AUDIENCE], "get", "/v1/status") == user


async def test_looking_is_not_acting(api, tokens):
    with pytest.raises(Forbidden, match="may not post /v1/drain"):
        await KubeAccess(api.client).admit(tokens[AUDIENCE], "post", "/v1/drain")


async def test_a_token_for_the_api_server_itself_is_refused_because_it_could_be_used_there(api, tokens):
    with pytest.raises(Unauthenticated, match="audience porter"):
        await KubeAccess(api.client).admit(tokens[""], "get", "/v1/status")


@pytest.mark.parametrize("token", ["", "nonsense", "x" * 20_000])
async def test_what_is_no_token_is_refused(api, token):
    with pytest.raises(Unauthenticated, match="kubectl create token"):
        await KubeAccess(api.client).admit(token, "get", "/v1/status")


async def test_a_flood_of_wrong_tokens_is_no_flood_at_the_api_server(api):
    access = KubeAccess(api.client)
    asked = (access.admit(f"wrong-{number}", "get", "/v1/status") for number in range(100))
    answers = [type(answer) for answer in await asyncio.gather(*asked, return_exceptions=True)]
    assert answers.count(Unauthenticated) <= ASKING_MAX
    assert set(answers) == {Unauthenticated, AccessUnavailable}
    with pytest.raises(Unauthenticated):
        await access.admit("wrong", "get", "/v1/status")


async def test_without_the_api_server_nobody_is_admitted(control_plane, tmp_path):
    elsewhere = json.loads(control_plane.kubeconfig.read_text())
    elsewhere["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(elsewhere))
    client = await KubeClient.connect(path)
    try:
        with pytest.raises(AccessUnavailable):
            await KubeAccess(client).admit("any", "get", "/v1/status")
    finally:
        await client.close()

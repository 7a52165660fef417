"""An external server with TLS, whose authority comes by the variable that the chart sets."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.chart.helm import pod_templates, render
from tests.chart.matrix import EXTERNAL_TLS
from tests.integration.kube.control_plane import free_port

ASK = """
import asyncio, os
from porter.journal.redis import RedisJournals
async def main():
    journals = RedisJournals(os.environ["PORTER_REDIS_URL"], "porter")
    print(await journals.journal().head(), await journals.check())
    await journals.close()
asyncio.run(main())
"""
READY_TIMEOUT_S = 10.0


def ask(port: int, **environment: str) -> subprocess.CompletedProcess[str]:
    """Have a process of its own look at the server, with the certificates that its environment names."""
    url = f"rediss://:s3cret@localhost:{port}/0"
    inherited = {name: value for name, value in os.environ.items() if name != "SSL_CERT_FILE"}
    return subprocess.run(
        [sys.executable, "-c", ASK],
        env={**inherited, "PORTER_REDIS_URL": url, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_the_chart_names_the_authority_in_a_way_that_the_client_heeds(tmp_path: Path) -> None:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("there is no redis-server; apt-get install redis-server")
    variables = {
        each["name"]: each.get("value", "")
        for each in pod_templates(render(EXTERNAL_TLS))["porter-speaker"]["spec"]["containers"][0]["env"]
    }
    assert variables["PORTER_REDIS_URL"].startswith("rediss://")
    assert "SSL_CERT_FILE" in variables
    key, certificate = tmp_path / "key.pem", tmp_path / "ca.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, *subject],
        check=True,
        capture_output=True,
    )
    port = free_port()
    options = {
        "port": 0,
        "tls-port": port,
        "tls-cert-file": certificate,
        "tls-key-file": key,
        "tls-ca-cert-file": certificate,
    }
    options |= {"tls-auth-clients": "no", "requirepass": "s3cret", "appendonly": "yes", "dir": tmp_path}
    words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    server = subprocess.Popen([program, *words], stdout=subprocess.DEVNULL)
    try:
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        while (answer := ask(port, SSL_CERT_FILE=str(certificate))).returncode and time.monotonic() < deadline_s:
            assert server.poll() is None, "this redis-server speaks no TLS"
            time.sleep(0.2)
        assert answer.stdout.strip() == "None []", answer.stderr
        assert "CERTIFICATE_VERIFY_FAILED" in ask(port).stderr
    finally:
        server.kill()
        server.wait()

"""Certificates for tests, made by the openssl program when they are needed."""

import os
import ssl
import subprocess


def _run(*args, **kwargs):
    subprocess.run(["openssl", *args], check=True, capture_output=True, **kwargs)


class Authority:
    """A certificate authority in a folder of its own."""

    def __init__(self, folder, name="test authority"):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.cert = os.path.join(folder, "ca.pem")
        self.key = os.path.join(folder, "ca.key")
        _run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-keyout", self.key, "-out", self.cert, "-days", "2", "-subj", f"/CN={name}")

    def issue(self, name, folder, days=2):
        """Paths of a certificate for `name` (also localhost and 127.0.0.1) and of its key."""
        os.makedirs(folder, exist_ok=True)
        cert, key = os.path.join(folder, "tls.crt"), os.path.join(folder, "tls.key")
        request = os.path.join(folder, "request.pem")
        _run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        _run("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key,
             "-CAcreateserial", "-out", cert, "-days", str(days), "-extfile", "/dev/stdin",
             input=b"subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        return cert, key


def end_of(cert):
    """Of the file's first certificate, in seconds since 1970."""
    said = subprocess.run(["openssl", "x509", "-in", cert, "-noout", "-enddate"], check=True,
                          capture_output=True, text=True).stdout
    return ssl.cert_time_to_seconds(said.strip().removeprefix("notAfter="))


def read(path):
    with open(path, "rb") as file:
        return file.read()

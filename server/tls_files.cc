#include "server/tls_files.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <ctime>
#include <memory>

#include "absl/strings/str_cat.h"

namespace sparsed::server {
namespace {

template <auto kFree>
struct Free {
  template <typename T>
  void operator()(T* value) const {
    kFree(value);
  }
};
using Bio = std::unique_ptr<BIO, Free<BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Free<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;

// A key with a passphrase must not make the server ask for it on the terminal.
int NoPassphrase(char*, int, int, void*) { return -1; }

Certificate ReadCertificate(const std::string& path) {
  const Bio file(BIO_new_file(path.c_str(), "r"));
  return Certificate(file ? PEM_read_bio_X509(file.get(), nullptr, NoPassphrase, nullptr)
                          : nullptr);
}

Key ReadKey(const std::string& path) {
  const Bio file(BIO_new_file(path.c_str(), "r"));
  return Key(file ? PEM_read_bio_PrivateKey(file.get(), nullptr, NoPassphrase, nullptr) : nullptr);
}

absl::Status Bad(const char* flag, const std::string& path, const char* what) {
  return absl::InvalidArgumentError(absl::StrCat(flag, ": ", path, " ", what));
}

}  // namespace

absl::Status CheckTlsFiles(const std::string& cert, const std::string& key,
                           const std::string& client_ca) {
  absl::Status status;
  const Certificate certificate = ReadCertificate(cert);
  const Key private_key = ReadKey(key);
  if (!certificate) {
    status = Bad("--tls-cert", cert, "has no certificate (PEM)");
  } else if (!private_key) {
    status = Bad("--tls-key", key, "has no private key (PEM, without a passphrase)");
  } else if (X509_check_private_key(certificate.get(), private_key.get()) != 1) {
    status = Bad("--tls-key", key, "is not the key of the certificate");
  } else if (!client_ca.empty() && !ReadCertificate(client_ca)) {
    status = Bad("--tls-client-ca", client_ca, "has no certificate (PEM)");
  }
  ERR_clear_error();
  return status;
}

std::optional<int64_t> CertificateEnd(const std::string& cert) {
  std::optional<int64_t> first;
  const Bio file(BIO_new_file(cert.c_str(), "r"));
  while (file) {
    const Certificate one(PEM_read_bio_X509(file.get(), nullptr, NoPassphrase, nullptr));
    std::tm end = {};
    if (!one || ASN1_TIME_to_tm(X509_get0_notAfter(one.get()), &end) != 1) break;
    const int64_t seconds = timegm(&end);
    first = std::min(first.value_or(seconds), seconds);
  }
  ERR_clear_error();
  return first;
}

}  // namespace sparsed::server

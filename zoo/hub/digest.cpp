#include "hub/digest.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <new>
#include <vector>

#include "wkv/error.h"

namespace wkv::zoo {
namespace {

EVP_MD_CTX* evp(void* context) { return static_cast<EVP_MD_CTX*>(context); }

void require(int done) {
  if (done != 1) throw std::runtime_error("libcrypto: the checksum could not be computed");
}

std::string digest_of_file(Digest digest, const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<char> buffer(1 << 20);
  while (file.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || file.gcount() > 0)
    digest.update({buffer.data(), static_cast<size_t>(file.gcount())});
  if (!file.eof()) throw Error(ErrorCode::not_found, fmt::format("{}: cannot be read", path.string()));
  return digest.hex();
}

}  // namespace

Digest::Digest(const char* algorithm)
    : context_(EVP_MD_CTX_new(), [](void* context) { EVP_MD_CTX_free(evp(context)); }) {
  if (!context_) throw std::bad_alloc();
  require(EVP_DigestInit_ex(evp(context_.get()), EVP_get_digestbyname(algorithm), nullptr));
}

void Digest::update(std::string_view bytes) {
  require(EVP_DigestUpdate(evp(context_.get()), bytes.data(), bytes.size()));
}

std::string Digest::hex() const {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> copy(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  if (!copy) throw std::bad_alloc();
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned size = 0;
  require(EVP_MD_CTX_copy_ex(copy.get(), evp(context_.get())));
  require(EVP_DigestFinal_ex(copy.get(), bytes.data(), &size));
  std::string text;
  for (unsigned i = 0; i < size; ++i) text += fmt::format("{:02x}", bytes[i]);
  return text;
}

std::string sha256_of_file(const std::filesystem::path& path) { return digest_of_file(Digest("SHA256"), path); }

std::string git_blob_sha1_of_file(const std::filesystem::path& path) {
  Digest digest("SHA1");
  const std::string header = fmt::format("blob {}", std::filesystem::file_size(path));
  digest.update({header.c_str(), header.size() + 1});  // the zero byte at its end belongs to it
  return digest_of_file(std::move(digest), path);
}

bool is_lower_hex(std::string_view text, size_t digits) {
  return text.size() == digits && text.find_first_not_of("0123456789abcdef") == text.npos;
}

}  // namespace wkv::zoo

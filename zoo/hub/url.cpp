#include "hub/url.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <memory>

#include "io/printable.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

[[noreturn]] void refuse_url(const std::string& url, const char* expected) {
  throw Error(ErrorCode::invalid_argument,
              fmt::format("{}: not a URL{}", printable(url.substr(0, url.find_first_of("?#"))), expected));
}

class ParsedUrl {
 public:
  explicit ParsedUrl(const std::string& url) : handle_(curl_url(), curl_url_cleanup) {
    set(CURLUPART_URL, url.c_str(), url);
    const std::string scheme = get(CURLUPART_SCHEME);
    if (scheme != "http" && scheme != "https") refuse_url(url, " of http or https");
  }

  // A relative URL is resolved against the one before.
  void set(CURLUPart part, const char* value, const std::string& url) {
    if (!handle_ || curl_url_set(handle_.get(), part, value, 0) != CURLUE_OK) refuse_url(url, "");
  }

  std::string get(CURLUPart part, unsigned flags = 0) const {
    char* text = nullptr;
    if (curl_url_get(handle_.get(), part, &text, flags) != CURLUE_OK) return "";
    const std::unique_ptr<char, decltype(&curl_free)> owner(text, curl_free);
    return text;
  }

 private:
  std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> handle_;
};

}  // namespace

std::string url_scheme(const std::string& url) { return ParsedUrl(url).get(CURLUPART_SCHEME); }

bool same_origin(const std::string& a, const std::string& b) {
  const ParsedUrl one(a), other(b);
  return one.get(CURLUPART_SCHEME) == other.get(CURLUPART_SCHEME) &&
         one.get(CURLUPART_HOST) == other.get(CURLUPART_HOST) &&
         one.get(CURLUPART_PORT, CURLU_DEFAULT_PORT) == other.get(CURLUPART_PORT, CURLU_DEFAULT_PORT);
}

std::string resolve_location(const std::string& base, const std::string& location) {
  ParsedUrl url(base);
  url.set(CURLUPART_URL, location.c_str(), location);
  const std::string resolved = url.get(CURLUPART_URL);
  url_scheme(resolved);  // refuses file:, ftp:, ...
  return resolved;
}

std::string without_secrets(const std::string& url) {
  ParsedUrl parsed(url);
  for (const CURLUPart part : {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY, CURLUPART_FRAGMENT})
    parsed.set(part, nullptr, url);
  return parsed.get(CURLUPART_URL);
}

std::string percent_encode(std::string_view text, bool keep_slashes) {
  constexpr std::string_view kUnreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  std::string encoded;
  for (const char c : text) {
    if (kUnreserved.find(c) != std::string_view::npos || (c == '/' && keep_slashes)) {
      encoded += c;
    } else {
      encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return encoded;
}

}  // namespace wkv::zoo

#include "hub/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <fstream>

#include "wkv/error.h"

namespace wkv::zoo {
namespace {

std::string variable(const char* name, const std::string& otherwise = "") {
  const char* value = std::getenv(name);
  return value && *value ? value : otherwise;
}

bool is_on(const char* name) {
  std::string value = variable(name);
  std::ranges::transform(value, value.begin(), [](unsigned char c) { return std::toupper(c); });
  return value == "1" || value == "ON" || value == "YES" || value == "TRUE";
}

template <class Number>
Number number(const char* name, Number otherwise) {
  const std::string text = variable(name);
  if (text.empty()) return otherwise;
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value > 0 && value < Number{1000000}))
    throw Error(ErrorCode::invalid_argument, fmt::format("{} must be a number of seconds, got \"{}\"", name, text));
  return value;
}

// A folder under the home folder, which need not be known before it is asked for.
std::filesystem::path in_home(const std::string& folder) {
  const std::string home = variable("HOME");
  if (home.empty())
    throw Error(ErrorCode::invalid_argument, "no folder to keep files in: set HF_HOME and XDG_CACHE_HOME, or HOME");
  return std::filesystem::path(home) / folder;
}

std::filesystem::path expanded(const std::string& folder) {
  return folder.starts_with("~/") ? in_home(folder.substr(2)) : std::filesystem::path(folder);
}

std::string read_token(const std::filesystem::path& home) {
  std::string token = variable("HF_TOKEN");
  if (token.empty()) {
    const std::string path = variable("HF_TOKEN_PATH");
    std::ifstream file(path.empty() ? home / "token" : expanded(path));
    std::getline(file, token);
  }
  const auto is_space = [](unsigned char c) { return std::isspace(c) != 0; };
  token.erase(token.begin(), std::ranges::find_if_not(token, is_space));
  token.erase(std::find_if_not(token.rbegin(), token.rend(), is_space).base(), token.end());
  // It becomes a part of a header.
  if (!std::ranges::all_of(token, [](unsigned char c) { return c > ' ' && c < 0x7f; }))
    throw Error(ErrorCode::invalid_argument, "HF_TOKEN must be printable ASCII without spaces");
  return token;
}

}  // namespace

HubSettings hub_settings() {
  HubSettings settings;
  settings.endpoint = variable("HF_ENDPOINT", "https://huggingface.co");
  while (settings.endpoint.ends_with('/')) settings.endpoint.pop_back();
  settings.offline = is_on("HF_HUB_OFFLINE") || is_on("WKV_OFFLINE");
  const std::string xdg = variable("XDG_CACHE_HOME"), hf_home = variable("HF_HOME"), hub = variable("HF_HUB_CACHE");
  const std::filesystem::path caches = xdg.empty() ? in_home(".cache") : expanded(xdg);
  const std::filesystem::path home = hf_home.empty() ? caches / "huggingface" : expanded(hf_home);
  settings.token = read_token(home);
  settings.hub_cache = hub.empty() ? home / "hub" : expanded(hub);
  settings.url_cache = caches / "wkv";
  settings.certificates = variable("SSL_CERT_FILE");
  settings.timeout = std::chrono::seconds(number<long>("HF_HUB_DOWNLOAD_TIMEOUT", settings.timeout.count()));
  settings.retry_delay = std::chrono::duration<double>(number<double>("WKV_RETRY_DELAY", settings.retry_delay.count()));
  return settings;
}

}  // namespace wkv::zoo

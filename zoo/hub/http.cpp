#include "hub/http.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <exception>

#include "core/ascii.h"
#include "hub/url.h"
#include "io/printable.h"

namespace wkv::zoo {
namespace {

constexpr int kMostRedirects = 5;
constexpr size_t kMostHeaderBytes = 256 << 10;
constexpr long kSlowBytesPerSecond = 1000;  // below it for the whole time limit, a connection is given up
constexpr long kBufferBytes = 256 << 10;
constexpr std::chrono::seconds kLongestRetryAfter{120};

// What another try can't change.
bool is_permanent(CURLcode code) {
  constexpr std::array kPermanent = {
      CURLE_UNSUPPORTED_PROTOCOL, CURLE_URL_MALFORMAT,        CURLE_PEER_FAILED_VERIFICATION,
      CURLE_SSL_CACERT_BADFILE,   CURLE_SSL_CERTPROBLEM,      CURLE_SSL_ISSUER_ERROR,
      CURLE_OUT_OF_MEMORY,        CURLE_COULDNT_RESOLVE_PROXY};
  return std::ranges::find(kPermanent, code) != kPermanent.end();
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == text.npos) return "";
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

std::string redirect_of(const HttpResponse& response) {
  try {
    return resolve_location(response.url, response.header("location"));
  } catch (const Error& error) {
    throw HttpError(ErrorCode::network, fmt::format("{}: redirects to {}", without_secrets(response.url), error.what()),
                    false);
  }
}

using HeaderList = std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)>;

void append(HeaderList& list, const std::string& line) {
  curl_slist* longer = curl_slist_append(list.get(), line.c_str());
  if (!longer) throw std::bad_alloc();
  (void)list.release();  // the same list, or none before
  list.reset(longer);
}

}  // namespace

// What one request asks for, and what comes of it. libcurl calls back through C: exceptions wait here until it returns.
struct Http::Transfer {
  bool head = false;
  int64_t first = 0;
  Begin begin = {};
  Receive receive = {};

  void* handle = nullptr;  // libcurl's
  HttpResponse response = {};
  size_t header_bytes = 0;
  bool begun = false;
  std::exception_ptr failure = {};

  bool has_body() const { return response.status == 200 || response.status == 206; }

  void take_header(std::string_view line) {
    header_bytes += line.size();
    if (header_bytes > kMostHeaderBytes) throw HttpError(ErrorCode::network, "the answer's header is too long", false);
    const auto colon = line.find(':');
    if (line.starts_with("HTTP/")) {  // of the answer itself, after one that only says to go on
      response.headers.clear();
    } else if (colon != line.npos) {
      response.headers[ascii_lower_case(trimmed(line.substr(0, colon)))] = trimmed(line.substr(colon + 1));
    }
  }

  void start() {
    if (!begun && begin) begin(response);
    begun = true;
  }

  static size_t on_header(char* data, size_t, size_t size, void* self) {
    auto& transfer = *static_cast<Transfer*>(self);
    return transfer.guarded([&] { transfer.take_header({data, size}); }) ? size : 0;
  }

  static size_t on_body(char* data, size_t, size_t size, void* self) {
    auto& transfer = *static_cast<Transfer*>(self);
    curl_easy_getinfo(transfer.handle, CURLINFO_RESPONSE_CODE, &transfer.response.status);
    if (!transfer.has_body()) return 0;  // a page about an error: its header says enough
    return transfer.guarded([&] {
      transfer.start();
      transfer.receive({data, size});
    })
               ? size
               : 0;
  }

  template <class Work>
  bool guarded(const Work& work) {
    try {
      work();
      return true;
    } catch (...) {
      failure = std::current_exception();
      return false;
    }
  }
};

std::string HttpResponse::header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

std::optional<int64_t> HttpResponse::number(const std::string& name) const {
  const std::string text = header(name);
  int64_t value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

Http::Http(const HubSettings& settings) : settings_(settings), handle_(nullptr, curl_easy_cleanup) {
  static const CURLcode once = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (once == CURLE_OK) handle_.reset(curl_easy_init());
  if (!handle_) throw Error(ErrorCode::network, "libcurl could not be started");
  url_scheme(settings_.endpoint);
}

template <class Value>
void Http::set(int option, Value value) {
  const CURLcode code = curl_easy_setopt(handle_.get(), static_cast<CURLoption>(option), value);
  if (code != CURLE_OK) throw Error(ErrorCode::network, fmt::format("libcurl: {}", curl_easy_strerror(code)));
}

HttpResponse Http::perform(const std::string& url, bool with_token, Transfer& transfer) {
  transfer.response = HttpResponse{.url = url};
  transfer.header_bytes = 0;
  transfer.handle = handle_.get();
  std::array<char, CURL_ERROR_SIZE> reason{};
  HeaderList headers(nullptr, curl_slist_free_all);
  append(headers, "Accept-Encoding: identity");  // sizes and ranges are those of the file itself
  if (with_token && !settings_.token.empty()) append(headers, "Authorization: Bearer " + settings_.token);
  const std::string range = fmt::format("{}-", transfer.first);

  curl_easy_reset(handle_.get());  // connections stay
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_NOBODY, transfer.head ? 1L : 0L);
  set(CURLOPT_HTTPHEADER, headers.get());
  if (transfer.first > 0) set(CURLOPT_RANGE, range.c_str());
  set(CURLOPT_USERAGENT, "wkv/" WKV_VERSION);
  set(CURLOPT_NOSIGNAL, 1L);
  // A wish: libcurl refuses it where an earlier try has left a buffer in use.
  curl_easy_setopt(handle_.get(), CURLOPT_BUFFERSIZE, kBufferBytes);
  set(CURLOPT_CONNECTTIMEOUT, static_cast<long>(settings_.timeout.count()));
  set(CURLOPT_LOW_SPEED_LIMIT, kSlowBytesPerSecond);
  set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(settings_.timeout.count()));
  set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  if (!settings_.certificates.empty()) set(CURLOPT_CAINFO, settings_.certificates.c_str());
  set(CURLOPT_HEADERFUNCTION, &Transfer::on_header);
  set(CURLOPT_HEADERDATA, &transfer);
  set(CURLOPT_WRITEFUNCTION, &Transfer::on_body);
  set(CURLOPT_WRITEDATA, &transfer);
  set(CURLOPT_ERRORBUFFER, reason.data());
  const CURLcode code = curl_easy_perform(handle_.get());
  curl_easy_getinfo(handle_.get(), CURLINFO_RESPONSE_CODE, &transfer.response.status);
  curl_easy_setopt(handle_.get(), CURLOPT_ERRORBUFFER, nullptr);
  if (transfer.failure) std::rethrow_exception(transfer.failure);
  const bool body_was_refused = code == CURLE_WRITE_ERROR && !transfer.has_body();
  if (code != CURLE_OK && !body_was_refused) {
    throw HttpError(
        ErrorCode::network,
        fmt::format("{}: {}", without_secrets(url), printable(reason[0] ? reason.data() : curl_easy_strerror(code))),
        !is_permanent(code));
  }
  return transfer.response;
}

HttpResponse Http::follow(std::string url, const std::string& final_header, Transfer& transfer) {
  bool with_token = true;
  for (int redirects = 0;; ++redirects) {
    with_token = with_token && same_origin(url, settings_.endpoint);
    HttpResponse response = perform(url, with_token, transfer);
    if (!response.is_redirect()) {
      if (response.status != 416) check_status(response, with_token);
      return response;
    }
    const std::string next = redirect_of(response);
    if (!final_header.empty() && !response.header(final_header).empty() && !same_origin(url, next)) return response;
    if (url_scheme(url) == "https" && url_scheme(next) != "https") {
      throw HttpError(ErrorCode::network,
                      fmt::format("{}: redirects to {}, without TLS", without_secrets(url), without_secrets(next)),
                      false);
    }
    if (redirects == kMostRedirects) {
      throw HttpError(ErrorCode::network,
                      fmt::format("{}: redirected more than {} times", without_secrets(url), kMostRedirects), false);
    }
    url = next;
  }
}

void Http::check_status(const HttpResponse& response, bool with_token) const {
  const long status = response.status;
  if (status == 200 || status == 206) return;
  const std::string what = fmt::format("{}: HTTP {}", without_secrets(response.url), status);
  if ((status == 401 || status == 403) && with_token) {
    throw HttpError(ErrorCode::network,
                    what + (settings_.token.empty() ? ": the repository is private or gated, or there is none of this "
                                                      "name: set HF_TOKEN to a token that may read it"
                                                    : ": the token in HF_TOKEN may not read it: accept the "
                                                      "repository's terms on the hub, or set another token"),
                    false);
  }
  if (status == 404) {
    const std::string code = response.header("x-error-code");
    throw HttpError(ErrorCode::not_found,
                    what + (code == "RepoNotFound"       ? ": no such repository"
                            : code == "RevisionNotFound" ? ": no such revision"
                                                         : ": no such file"),
                    false);
  }
  std::optional<std::chrono::seconds> retry_after;
  curl_off_t seconds = 0;
  if (curl_easy_getinfo(handle_.get(), CURLINFO_RETRY_AFTER, &seconds) == CURLE_OK && seconds > 0)
    retry_after = std::chrono::seconds(seconds);
  if (retry_after > kLongestRetryAfter) {
    throw HttpError(ErrorCode::network, fmt::format("{}: the server asks to come back in {} s", what, seconds), false);
  }
  const bool transient = status == 408 || status == 429 || status / 100 == 5;
  throw HttpError(ErrorCode::network, what, transient, retry_after);
}

HttpResponse Http::head(const std::string& url, const std::string& final_header) {
  Transfer transfer{.head = true};
  return follow(url, final_header, transfer);
}

HttpResponse Http::get(const std::string& url, int64_t first, const Begin& begin, const Receive& receive) {
  Transfer transfer{.first = first, .begin = begin, .receive = receive};
  HttpResponse response = follow(url, "", transfer);
  if (transfer.has_body()) transfer.start();  // of an empty one nothing came
  return response;
}

}  // namespace wkv::zoo

// HTTP for downloads: HEAD, and GET from a byte on. TLS is verified always; the token goes to the endpoint's origin
// alone, and never again once a redirect has led elsewhere.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "hub/settings.h"
#include "wkv/error.h"

namespace wkv::zoo {

// A request that failed; transient: another try may succeed, after `retry_after` if the server says so.
class HttpError : public Error {
 public:
  HttpError(ErrorCode code, const std::string& message, bool transient,
            std::optional<std::chrono::seconds> retry_after = std::nullopt)
      : Error(code, message), transient_(transient), retry_after_(retry_after) {}
  bool transient() const { return transient_; }
  std::optional<std::chrono::seconds> retry_after() const { return retry_after_; }

 private:
  bool transient_;
  std::optional<std::chrono::seconds> retry_after_;
};

struct HttpResponse {
  std::string url;  // the one that answered
  long status = 0;
  std::map<std::string, std::string> headers = {};  // names in lower case

  std::string header(const std::string& name) const;             // empty: none
  std::optional<int64_t> number(const std::string& name) const;  // none as well where it isn't one, or negative
  bool is_redirect() const { return status / 100 == 3 && !header("location").empty(); }
};

// One connection at a time, kept for the next request; of one thread.
class Http {
 public:
  explicit Http(const HubSettings& settings);

  // Follows redirects, but not from a response which has `final_header` to another origin. Both throw HttpError.
  HttpResponse head(const std::string& url, const std::string& final_header);

  // Called once, before the first byte, with a status of 200 or 206; what it and Receive throw comes through.
  using Begin = std::function<void(const HttpResponse& response)>;
  using Receive = std::function<void(std::string_view bytes)>;
  // The body from byte `first` on, as far as the server knows ranges: the status says so (200, 206, or 416 for none).
  HttpResponse get(const std::string& url, int64_t first, const Begin& begin, const Receive& receive);

 private:
  struct Transfer;
  HttpResponse perform(const std::string& url, bool with_token, Transfer& transfer);
  HttpResponse follow(std::string url, const std::string& final_header, Transfer& transfer);
  void check_status(const HttpResponse& response, bool with_token) const;
  template <class Value>
  void set(int option, Value value);

  HubSettings settings_;
  std::unique_ptr<void, void (*)(void*)> handle_;
};

}  // namespace wkv::zoo

// One client's connection: its requests one after another, each within its time and size. For the files that speak to
// sockets only, since Boost.Asio and Boost.Beast are large.
#pragma once
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>  // Boost 1.74 forgets it

#include "serve/completion_answer.h"
#include "serve/http_server.h"

namespace wkv::serve {

namespace asio = boost::asio;
namespace http = boost::beast::http;

// What the connections of a server share.
struct ConnectionContext {
  const ServerOptions& options;
  const Service& service;
  Engine& engine;
  Metrics& metrics;
};

class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  // on_close: called once, when the socket is closed.
  HttpConnection(asio::ip::tcp::socket socket, const ConnectionContext& context,
                 std::function<void(const std::shared_ptr<HttpConnection>&)> on_close);

  void run();
  void refuse();  // instead of run(): answers 503 to whatever comes
  void finish();  // no further request: closes when the one that runs is answered
  void cancel();  // ends the one that runs
  void close();   // at once

 private:
  using BoostError = boost::system::error_code;
  using Clock = std::chrono::steady_clock;

  void next_request();
  void read_header();
  void on_header(BoostError error);
  void read_body();
  void on_body(BoostError error);
  void refuse_request(BoostError error);
  void handle_request();
  void generate(CompletionRequest request);
  void on_progress(int64_t request, const Progress& progress);
  void watch_for_close();

  void respond(const HttpResponse& response);
  http::response<http::empty_body> response_head(int status, const std::string& content_type) const;
  void send(const std::string& bytes);
  void end_response(int status);  // everything of the response has been given to send()
  void write();
  void on_written(BoostError error);
  bool chunked() const { return version_ >= 11; }
  void drain();  // lets the client read the answer before the connection closes
  void discard();

  void set_deadline(Clock::duration time);
  void clear_deadline();

  asio::ip::tcp::socket socket_;
  asio::steady_timer read_deadline_, write_deadline_;
  const ConnectionContext& context_;
  std::function<void(const std::shared_ptr<HttpConnection>&)> on_close_;

  boost::beast::flat_buffer received_;
  std::optional<http::request_parser<http::string_body>> parser_;
  bool late_ = false;  // the deadline for reading has passed
  bool idle_ = false;  // between two requests
  bool finishing_ = false;
  bool watching_ = false;

  // The request under way.
  bool keep_alive_ = false, head_only_ = false;
  unsigned version_ = 11;  // of HTTP, times ten
  std::string endpoint_ = "other";
  Clock::time_point start_;
  std::optional<CompletionAnswer> answer_;
  int64_t running_ = -1;  // its number in the engine

  std::string unsent_, sending_;  // the second is on its way
  bool response_complete_ = false;
  char trash_[4096];
};

}  // namespace wkv::serve

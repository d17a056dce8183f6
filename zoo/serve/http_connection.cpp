#include "serve/http_connection.h"

#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <new>
#include <sstream>

namespace wkv::serve {
namespace {

constexpr std::chrono::seconds kDrainTimeout{5};
constexpr int kClientClosed = 499;  // for the metrics: the client went away, or took nothing of what it was sent

std::string text_of(boost::beast::string_view text) { return {text.data(), text.size()}; }

}  // namespace

HttpConnection::HttpConnection(asio::ip::tcp::socket socket, const ConnectionContext& context,
                               std::function<void(const std::shared_ptr<HttpConnection>&)> on_close)
    : socket_(std::move(socket)),
      read_deadline_(socket_.get_executor()),
      write_deadline_(socket_.get_executor()),
      context_(context),
      on_close_(std::move(on_close)) {
  BoostError ignored;
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
  socket_.non_blocking(true, ignored);
}

void HttpConnection::run() { next_request(); }

void HttpConnection::refuse() {
  start_ = Clock::now();
  respond(error_response({503, "too many connections: try again later", {}, "too_many_connections"}));
}

void HttpConnection::finish() {
  finishing_ = true;
  if (idle_) close();
}

void HttpConnection::cancel() {
  if (answer_) context_.engine.cancel(running_);
}

void HttpConnection::close() {
  if (!on_close_) return;
  if (answer_) {
    cancel();
    answer_.reset();
    end_response(kClientClosed);
  }
  BoostError ignored;
  socket_.close(ignored);
  read_deadline_.cancel();
  write_deadline_.cancel();
  std::exchange(on_close_, nullptr)(shared_from_this());
}

// --- a request comes in ---

void HttpConnection::next_request() {
  if (finishing_) return close();
  keep_alive_ = head_only_ = false;
  version_ = 11;
  endpoint_ = "other";
  parser_.emplace();
  parser_->header_limit(kMaxHeaderBytes);
  parser_->body_limit(static_cast<uint64_t>(context_.options.body_bytes));
  if (received_.size() > 0) return read_header();
  idle_ = true;
  set_deadline(kIdleTimeout);
  socket_.async_read_some(received_.prepare(sizeof(trash_)),
                          [self = shared_from_this()](BoostError error, std::size_t count) {
                            self->idle_ = false;
                            if (error) return self->close();
                            self->received_.commit(count);
                            self->read_header();
                          });
}

void HttpConnection::read_header() {
  start_ = Clock::now();
  set_deadline(context_.options.read_timeout);
  http::async_read_header(socket_, received_, *parser_,
                          [self = shared_from_this()](BoostError error, std::size_t) { self->on_header(error); });
}

void HttpConnection::on_header(BoostError error) {
  if (error) return refuse_request(error);
  if (parser_->get()[http::field::expect] != "100-continue") return read_body();
  static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  asio::async_write(socket_, asio::buffer(kContinue), [self = shared_from_this()](BoostError failure, std::size_t) {
    if (failure) return self->close();
    self->read_body();
  });
}

void HttpConnection::read_body() {
  http::async_read(socket_, received_, *parser_,
                   [self = shared_from_this()](BoostError error, std::size_t) { self->on_body(error); });
}

void HttpConnection::on_body(BoostError error) {
  if (error) return refuse_request(error);
  clear_deadline();
  handle_request();
}

void HttpConnection::refuse_request(BoostError error) {
  clear_deadline();
  keep_alive_ = false;
  if (late_) return respond(error_response({408, "the request took too long to arrive", {}, "timeout"}));
  if (error == http::error::header_limit) {
    return respond(error_response(
        {431, fmt::format("the request's header is longer than {} bytes", kMaxHeaderBytes), {}, "header_too_large"}));
  }
  if (error == http::error::body_limit) {
    return respond(error_response(
        {413, fmt::format("the body is longer than {} bytes", context_.options.body_bytes), {}, "body_too_large"}));
  }
  const bool malformed = error.category() == make_error_code(http::error::bad_method).category() &&
                         error != http::error::end_of_stream && error != http::error::partial_message;
  if (!malformed || !socket_.is_open()) return close();
  respond(error_response({400, "not a request of HTTP: " + error.message()}));
}

void HttpConnection::handle_request() {
  const auto& message = parser_->get();
  const std::string target = text_of(message.target());
  keep_alive_ = message.keep_alive();
  head_only_ = message.method() == http::verb::head;
  version_ = message.version() < 11 ? 10 : 11;
  const HttpRequest request{.method = text_of(message.method_string()),
                            .path = target.substr(0, target.find('?')),
                            .content_type = text_of(message[http::field::content_type]),
                            .authorization = text_of(message[http::field::authorization]),
                            .body = std::move(parser_->get().body())};
  endpoint_ = Service::endpoint(request.path);
  try {
    auto outcome = context_.service.handle(request);
    if (const auto* response = std::get_if<HttpResponse>(&outcome)) return respond(*response);
    generate(std::get<CompletionRequest>(std::move(outcome)));
  } catch (const std::bad_alloc&) {
    respond(error_response({500, "out of memory"}));
  }
}

// --- an answer is made ---

void HttpConnection::generate(CompletionRequest request) {
  std::vector<Job> jobs;
  for (const auto& prompt : request.prompts) {
    for (int64_t i = 0; i < request.n; ++i) {
      jobs.push_back({prompt, request.options});
      if (request.options.seed) ++*request.options.seed;
    }
  }
  // The engine never waits for a client: its news is put into this thread's queue.
  auto number = std::make_shared<int64_t>(-1);
  const auto listener = [weak = weak_from_this(), executor = socket_.get_executor(), number](const Progress& progress) {
    asio::post(executor, [weak, number, progress] {
      if (const auto self = weak.lock()) self->on_progress(*number, progress);
    });
  };
  answer_.emplace(request, context_.service.model_name());
  const std::optional<int64_t> taken = context_.engine.submit(std::move(jobs), listener);
  if (!taken) {
    answer_.reset();
    return respond(error_response({429, "too many requests wait already: try again later", {}, "queue_full"}));
  }
  running_ = *number = *taken;
  if (answer_->streamed()) {
    auto head = response_head(200, "text/event-stream");
    head.set(http::field::cache_control, "no-store");
    if (chunked()) {
      head.chunked(true);
    } else {
      keep_alive_ = false;
      head.keep_alive(false);
    }
    std::ostringstream text;
    text << head.base();
    send(text.str());
  }
  watch_for_close();
}

void HttpConnection::on_progress(int64_t request, const Progress& progress) {
  if (!answer_ || request != running_) return;
  const std::string events = answer_->push(progress);
  const bool ended = answer_->ended();
  if (!answer_->streamed()) {
    if (!ended) return;
    const auto& error = answer_->error();
    const HttpResponse response = error ? error_response(*error) : HttpResponse{.body = answer_->json()};
    if (error) cancel();  // its other texts
    answer_.reset();
    return respond(response);
  }
  if (!events.empty()) send(chunked() ? fmt::format("{:x}\r\n{}\r\n", events.size(), events) : events);
  if (ended) {
    const int status = answer_->error() ? answer_->error()->status : 200;
    if (answer_->error()) cancel();
    answer_.reset();
    if (chunked()) send("0\r\n\r\n");
    end_response(status);
  } else if (unsent_.size() > kMaxUnsentBytes) {
    close();
  }
}

// A client that goes away while its answer is made: what comes next on the connection is its end. Where it is the next
// request, no more is to be known until this one is answered.
void HttpConnection::watch_for_close() {
  if (std::exchange(watching_, true)) return;
  socket_.async_wait(asio::ip::tcp::socket::wait_read, [self = shared_from_this()](BoostError error) {
    self->watching_ = false;
    if (error || !self->answer_) return;
    char next = 0;
    const std::size_t count = self->socket_.receive(asio::buffer(&next, 1), asio::ip::tcp::socket::message_peek, error);
    if (error == asio::error::would_block) return self->watch_for_close();
    if (error || count == 0) self->close();
  });
}

// --- the answer goes out ---

http::response<http::empty_body> HttpConnection::response_head(int status, const std::string& content_type) const {
  http::response<http::empty_body> head(static_cast<http::status>(status), version_);
  head.set(http::field::server, "wkv");
  head.set(http::field::content_type, content_type);
  head.keep_alive(keep_alive_ && !finishing_);
  return head;
}

void HttpConnection::respond(const HttpResponse& response) {
  auto head = response_head(response.status, response.content_type);
  head.content_length(response.body.size());
  if (!response.allow.empty()) head.set(http::field::allow, response.allow);
  if (response.status == 401) head.set(http::field::www_authenticate, "Bearer");
  if (response.status == 429 || response.status == 503) head.set(http::field::retry_after, "1");
  std::ostringstream text;
  text << head.base();
  if (!head_only_) text << response.body;
  send(text.str());
  end_response(response.status);
}

void HttpConnection::end_response(int status) {
  response_complete_ = true;
  context_.metrics.add(Metric::requests, 1, fmt::format("endpoint=\"{}\",status=\"{}\"", endpoint_, status));
  context_.metrics.observe(Metric::request_seconds, std::chrono::duration<double>(Clock::now() - start_).count());
}

void HttpConnection::send(const std::string& bytes) {
  unsent_ += bytes;
  if (sending_.empty()) write();
}

void HttpConnection::write() {
  sending_.swap(unsent_);
  write_deadline_.expires_after(context_.options.write_timeout);
  write_deadline_.async_wait([self = shared_from_this()](BoostError error) {
    if (!error && Clock::now() >= self->write_deadline_.expiry()) self->close();
  });
  asio::async_write(socket_, asio::buffer(sending_),
                    [self = shared_from_this()](BoostError error, std::size_t) { self->on_written(error); });
}

void HttpConnection::on_written(BoostError error) {
  write_deadline_.expires_at(Clock::time_point::max());
  sending_.clear();
  if (error) return close();
  if (!unsent_.empty()) return write();
  if (!std::exchange(response_complete_, false)) return;
  if (keep_alive_ && !finishing_) return next_request();
  drain();
}

// A socket closed with something unread in it is reset, and the answer lost with it.
void HttpConnection::drain() {
  BoostError ignored;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  set_deadline(kDrainTimeout);
  discard();
}

void HttpConnection::discard() {
  socket_.async_read_some(asio::buffer(trash_), [self = shared_from_this()](BoostError error, std::size_t) {
    error ? self->close() : self->discard();
  });
}

// --- time ---

// When it has passed, what reads is told so by an error.
void HttpConnection::set_deadline(Clock::duration time) {
  late_ = false;
  read_deadline_.expires_after(time);
  read_deadline_.async_wait([self = shared_from_this()](BoostError error) {
    if (error || Clock::now() < self->read_deadline_.expiry()) return;
    self->late_ = true;
    BoostError ignored;
    self->socket_.cancel(ignored);
  });
}

void HttpConnection::clear_deadline() { read_deadline_.expires_at(Clock::time_point::max()); }

}  // namespace wkv::serve

#include "serve/http_server.h"

#include <fmt/format.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <cstdlib>
#include <set>

#include "serve/http_connection.h"
#include "wkv/error.h"

namespace wkv::serve {
namespace {

using BoostError = boost::system::error_code;
using asio::ip::tcp;

constexpr int kSendBuffer = 64 * 1024;            // the kernel's share of what a client hasn't read
constexpr std::size_t kRefusedAtATime = 64;       // connections beyond the limit that still get an answer
constexpr std::chrono::milliseconds kPause{100};  // after a failure to accept

}  // namespace

struct HttpServer::Door {
  explicit Door(const ServerOptions& options_) : options(options_) {
    const auto refuse = [&](const BoostError& error) {
      throw Error(ErrorCode::network, fmt::format("{} port {}: {}", options.host, options.port, error.message()));
    };
    BoostError error;
    tcp::resolver resolver(io);
    const auto found = resolver.resolve(options.host, std::to_string(options.port),
                                        tcp::resolver::passive | tcp::resolver::numeric_service, error);
    if (error || found.empty()) refuse(error);
    const tcp::endpoint endpoint = found.begin()->endpoint();
    acceptor.open(endpoint.protocol(), error);
    if (error) refuse(error);
    acceptor.set_option(tcp::acceptor::reuse_address(true));  // those of a server before may linger
    acceptor.set_option(asio::socket_base::send_buffer_size(kSendBuffer));
    acceptor.bind(endpoint, error);
    if (error) refuse(error);
    acceptor.listen(asio::socket_base::max_listen_connections, error);
    if (error) refuse(error);
  }

  void run(const Service& service, Engine& engine, Metrics& metrics, const std::function<void()>& on_ready) {
    context.emplace(ConnectionContext{options, service, engine, metrics});
    signals.add(SIGINT);
    signals.add(SIGTERM);
    signals.async_wait([this](const BoostError& error, int) {
      if (!error) stop();
    });
    accept();
    on_ready();
    io.run();
  }

  void accept() {
    acceptor.async_accept([this](const BoostError& error, tcp::socket socket) {
      if (!acceptor.is_open()) return;
      if (error) {  // too many open files, for example
        timer.expires_after(kPause);
        timer.async_wait([this](const BoostError& cancelled) {
          if (!cancelled) accept();
        });
        return;
      }
      welcome(std::move(socket));
      accept();
    });
  }

  void welcome(tcp::socket socket) {
    const auto limit = static_cast<std::size_t>(options.connections);
    const bool full = connections.size() >= limit;
    if (full) context->metrics.add(Metric::refused_connections);
    if (connections.size() >= limit + kRefusedAtATime) return;  // the socket closes
    const auto connection =
        std::make_shared<HttpConnection>(std::move(socket), *context, [this](const auto& gone) { forget(gone); });
    connections.insert(connection);
    context->metrics.set(Metric::connections, static_cast<double>(connections.size()));
    full ? connection->refuse() : connection->run();
  }

  void forget(const std::shared_ptr<HttpConnection>& gone) {
    connections.erase(gone);
    context->metrics.set(Metric::connections, static_cast<double>(connections.size()));
    if (!acceptor.is_open() && connections.empty()) leave();
  }

  // The first signal.
  void stop() {
    signals.async_wait([](const BoostError& error, int) {
      if (!error) std::_Exit(EXIT_FAILURE);
    });
    BoostError ignored;
    acceptor.close(ignored);
    if (connections.empty()) return leave();
    for (const auto& connection : std::set(connections)) connection->finish();
    timer.expires_after(options.grace);
    timer.async_wait([this](const BoostError& error) {
      if (error) return;
      for (const auto& connection : std::set(connections)) connection->cancel();
    });
  }

  // Nothing is left to do: run() returns.
  void leave() {
    signals.cancel();
    timer.cancel();
  }

  const ServerOptions options;
  asio::io_context io{1};
  tcp::acceptor acceptor{io};
  asio::signal_set signals{io};
  asio::steady_timer timer{io};
  std::optional<ConnectionContext> context;
  std::set<std::shared_ptr<HttpConnection>> connections;
};

HttpServer::HttpServer(const ServerOptions& options) : door_(std::make_unique<Door>(options)) {}

HttpServer::~HttpServer() = default;

std::string HttpServer::url() const {
  const tcp::endpoint endpoint = door_->acceptor.local_endpoint();
  const std::string address = endpoint.address().to_string();
  return fmt::format("http://{}:{}", endpoint.address().is_v6() ? "[" + address + "]" : address, endpoint.port());
}

void HttpServer::run(const Service& service, Engine& engine, Metrics& metrics, const std::function<void()>& on_ready) {
  door_->run(service, engine, metrics, on_ready);
}

}  // namespace wkv::serve

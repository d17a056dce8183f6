// The server's door: an HTTP/1.1 port whose clients may be slow, silent or hostile.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "serve/engine.h"
#include "serve/metrics.h"
#include "serve/service.h"
#include "wkv/export.h"

namespace wkv::serve {

struct ServerOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 8080;                    // 0: any that is free
  int64_t connections = 256;               // open at a time
  int64_t body_bytes = int64_t{1} << 20;   // of a request
  std::chrono::seconds read_timeout{30};   // for a request to arrive, from its first byte to its last
  std::chrono::seconds write_timeout{30};  // for a client to take what it is sent
  std::chrono::seconds grace{30};          // for running requests to end when the server is told to stop
};
inline constexpr uint32_t kMaxHeaderBytes = 16384;
inline constexpr std::chrono::seconds kIdleTimeout{120};    // of a connection between requests
inline constexpr std::size_t kMaxUnsentBytes = 256 * 1024;  // of a stream whose client doesn't read

class WKV_API HttpServer {
 public:
  // Binds the port and listens; clients wait until run(). Throws wkv::Error for a port in use or a host that isn't
  // ours.
  explicit HttpServer(const ServerOptions& options);
  ~HttpServer();

  std::string url() const;  // "http://127.0.0.1:8080"

  // Serves until SIGINT or SIGTERM; then takes no more connections, lets the running requests end within the grace
  // time, and returns. A second signal ends the process at once. on_ready: called when a signal is heeded.
  void run(const Service& service, Engine& engine, Metrics& metrics, const std::function<void()>& on_ready);

 private:
  struct Door;
  std::unique_ptr<Door> door_;
};

}  // namespace wkv::serve

#include "bench/worker.h"

#include <ATen/Functions.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <charconv>
#include <istream>
#include <nlohmann/json.hpp>
#include <ostream>

#include "bench/memory.h"
#include "bench/work.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kMaxWorkerTokens = 1 << 20;

int64_t worker_count(std::string_view command, std::string_view text) {
  int64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end != text.data() + text.size() || count < 1 || count > kMaxWorkerTokens) {
    throw Error(ErrorCode::invalid_argument, fmt::format("{} takes a number of tokens from 1 to {}, got \"{}\"",
                                                         command, kMaxWorkerTokens, text.substr(0, 40)));
  }
  return count;
}

Json to_json(const WorkTime& time) { return {{"s", time.seconds}, {"cpu", time.cpu_seconds}}; }

Json first_logits(models::LanguageModel& model, int64_t tokens) {
  const at::Tensor logits = bench_logits(model, tokens).to(at::kDouble).contiguous();
  const at::Tensor first = logits.slice(0, 0, 16);
  const auto* values = first.const_data_ptr<double>();
  return {{"v", std::vector<double>(values, values + first.size(0))}, {"argmax", logits.argmax().item<int64_t>()}};
}

Json answer(models::LanguageModel& model, std::string_view line) {
  const size_t space = std::min(line.find(' '), line.size());
  const std::string_view command = line.substr(0, space), argument = line.substr(std::min(space + 1, line.size()));
  if (command == "decode") return to_json(time_decode(model, worker_count(command, argument)));
  if (command == "prefill") return to_json(time_prompt(model, worker_count(command, argument)));
  if (command == "logits") return first_logits(model, worker_count(command, argument));
  if (line == "rss") {
    const ProcessMemory memory = process_memory();
    return {{"peak_mb", memory.peak}, {"cur_mb", memory.resident}};
  }
  throw Error(ErrorCode::invalid_argument,
              fmt::format("expected decode N, prefill T, logits K, rss or quit, got \"{}\"", line.substr(0, 40)));
}

}  // namespace

void serve_bench_worker(models::LanguageModel& model, const std::string& name, double load_seconds, std::istream& in,
                        std::ostream& out) {
  const auto send = [&](const Json& object) {
    out << object.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace) << std::endl;
  };
  send({{"ready", 1}, {"load_s", load_seconds}, {"name", name}});
  for (std::string line; std::getline(in, line);) {
    while (line.ends_with('\r') || line.ends_with(' ')) line.pop_back();
    if (line == "quit") return;
    try {
      send(answer(model, line));
    } catch (const c10::Error& e) {
      send({{"error", e.what_without_backtrace()}});
    } catch (const std::exception& e) {
      send({{"error", e.what()}});
    }
  }
}

}  // namespace wkv::zoo

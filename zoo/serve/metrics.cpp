#include "serve/metrics.h"

#include <fmt/format.h>

#include <array>

namespace wkv::serve {
namespace {

struct MetricRow {
  Metric metric;
  const char *name, *type, *help;
  bool labelled = false;
};

constexpr std::array kMetricRows = {
    MetricRow{Metric::requests, "wkv_requests_total", "counter", "Requests answered, by endpoint and status", true},
    MetricRow{Metric::request_seconds, "wkv_request_seconds", "summary", "From a request to the end of its answer"},
    MetricRow{Metric::connections, "wkv_connections", "gauge", "Open connections"},
    MetricRow{Metric::refused_connections, "wkv_refused_connections_total", "counter",
              "Connections refused because there were too many"},
    MetricRow{Metric::texts, "wkv_texts_total", "counter", "Texts that ended, by reason", true},
    MetricRow{Metric::active_texts, "wkv_active_texts", "gauge", "Texts that decode"},
    MetricRow{Metric::waiting_texts, "wkv_waiting_texts", "gauge", "Texts that wait or read their prompts"},
    MetricRow{Metric::prompt_tokens, "wkv_prompt_tokens_total", "counter", "Tokens of prompts"},
    MetricRow{Metric::cached_prompt_tokens, "wkv_cached_prompt_tokens_total", "counter",
              "Tokens of prompts that the state cache saved reading"},
    MetricRow{Metric::generated_tokens, "wkv_generated_tokens_total", "counter", "Tokens drawn"},
    MetricRow{Metric::first_text_seconds, "wkv_first_text_seconds", "summary",
              "From a request to the first piece of a text"},
    MetricRow{Metric::generation_seconds, "wkv_generation_seconds", "summary", "From a request to the end of a text"},
    MetricRow{Metric::state_cache_hits, "wkv_state_cache_hits_total", "counter",
              "Texts whose beginning the state cache knew"},
    MetricRow{Metric::state_cache_bytes, "wkv_state_cache_bytes", "gauge", "Bytes that the state cache holds"},
    MetricRow{Metric::state_cache_entries, "wkv_state_cache_entries", "gauge", "States that the state cache holds"},
};

}  // namespace

void Metrics::add(Metric metric, double amount, const std::string& labels) {
  const std::lock_guard lock(mutex_);
  series_[{metric, labels}].value += amount;
}

void Metrics::set(Metric metric, double value) {
  const std::lock_guard lock(mutex_);
  series_[{metric, {}}].value = value;
}

void Metrics::observe(Metric metric, double seconds) {
  const std::lock_guard lock(mutex_);
  Series& series = series_[{metric, {}}];
  series.value += seconds;
  ++series.count;
}

double Metrics::value(Metric metric, const std::string& labels) const {
  const std::lock_guard lock(mutex_);
  const auto found = series_.find({metric, labels});
  return found == series_.end() ? 0 : found->second.value;
}

std::string Metrics::prometheus() const {
  const std::lock_guard lock(mutex_);
  std::string text;
  for (const MetricRow& row : kMetricRows) {
    text += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", row.name, row.help, row.type);
    const auto print = [&](const std::string& labels, const Series& series) {
      if (std::string_view(row.type) == "summary") {
        text += fmt::format("{0}_sum {1}\n{0}_count {2}\n", row.name, series.value, series.count);
      } else {
        text += fmt::format("{}{} {}\n", row.name, labels.empty() ? "" : "{" + labels + "}", series.value);
      }
    };
    const auto first = series_.lower_bound({row.metric, {}});
    if (first == series_.end() || first->first.first != row.metric) {
      if (!row.labelled) print({}, {});
      continue;
    }
    for (auto it = first; it != series_.end() && it->first.first == row.metric; ++it)
      print(it->first.second, it->second);
  }
  return text;
}

}  // namespace wkv::serve

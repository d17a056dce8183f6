// What a run says about itself: a line on a stream, and metrics.jsonl.
#pragma once
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iosfwd>
#include <string>

#include "train/trainer.h"

namespace wkv::zoo {

class Progress {
 public:
  // Cuts the metrics back to `metrics_bytes`, their size at the checkpoint that the run goes on from.
  Progress(const TrainConfig& config, const Trainer& trainer, double seconds_before, uintmax_t metrics_bytes,
           std::ostream& stream, bool live);
  ~Progress();  // ends the line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void step(const StepResult& result);
  void evaluation(const std::vector<Measurement>& measurements);  // none: says nothing
  void message(const std::string& text);                          // a line of its own

  double seconds() const;     // of training, continued ones included
  uintmax_t metrics_bytes();  // brings the metrics to the disk

 private:
  using Clock = std::chrono::steady_clock;
  void metric(const std::string& line);
  void show();
  double units_per_second(int64_t since_step, Clock::time_point since) const;

  const TrainConfig& config_;
  const Trainer& trainer_;
  std::filesystem::path file_;
  std::ofstream metrics_;
  std::ostream& stream_;
  bool live_;
  bool line_open_ = false;  // a live line that the next one overwrites
  Clock::time_point start_ = Clock::now(), shown_ = start_, logged_ = start_;
  double seconds_before_;
  int64_t first_step_, logged_step_;
  double smooth_loss_ = 0.0;
};

}  // namespace wkv::zoo

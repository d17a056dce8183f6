// A model as the worker of a benchmark: commands come in line by line, answers go out as JSON objects, one a line.
#pragma once
#include <iosfwd>
#include <string>

#include "wkv/export.h"
#include "wkv/models/language_model.h"

namespace wkv::zoo {

// Begins with {"ready": 1, "load_s": .., "name": ".."} and answers until `quit` or the end of the input:
//   decode N    decodes N tokens of a sequence that has begun, with the logits of each: {"s": wall, "cpu": ..}
//   prefill T   reads a prompt of T tokens, with the logits of the last                  {"s": wall, "cpu": ..}
//   logits K    the logits after K tokens, the first 16 and the largest's place          {"v": [..], "argmax": i}
//   rss         the process's memory in MiB                                              {"peak_mb": .., "cur_mb": ..}
// Anything else is answered with {"error": ".."}.
WKV_API void serve_bench_worker(models::LanguageModel& model, const std::string& name, double load_seconds,
                                std::istream& in, std::ostream& out);

}  // namespace wkv::zoo

// What tokenizers have in common.
#include "wkv/zoo/tokenizer.h"

#include <fmt/format.h>

#include "wkv/error.h"

namespace wkv::zoo {

std::vector<int64_t> Tokenizer::encode_row(std::string_view, int64_t) const {
  throw Error(ErrorCode::invalid_argument,
              fmt::format("tokenizer {}: makes no rows of one length; clip and bytes do", name()));
}

}  // namespace wkv::zoo

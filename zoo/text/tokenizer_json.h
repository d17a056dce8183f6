// The tokenizer.json of the Hugging Face library, where it tells the pipeline of GPT-NeoX 20B or GPT-2.
#pragma once
#include <string>
#include <string_view>

#include "text/bpe_vocabulary.h"
#include "wkv/export.h"

namespace wkv::zoo {

// Throws wkv::Error, beginning with `source`: unsupported_format, with the part's name, for another pipeline;
// corrupt_file for what is not such a file.
WKV_API BpeVocabulary parse_tokenizer_json(std::string_view file, const std::string& source);

}  // namespace wkv::zoo

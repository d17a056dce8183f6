// OpenAI's chat messages as the tokens of a published prompt format.
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <vector>

#include "wkv/export.h"
#include "wkv/zoo/chat.h"
#include "wkv/zoo/tokenizer.h"

namespace wkv::serve {

// Each turn is encoded by itself, so that the tokens of a longer conversation begin with those of a shorter one and
// what the model answered to it. Throws ApiError (400) for messages that are not: system messages (or "developer"),
// then user and assistant in turn, the user last.
WKV_API std::vector<int64_t> chat_prompt(const nlohmann::json& messages, const ChatFormat& format,
                                         const zoo::Tokenizer& tokenizer);

}  // namespace wkv::serve

// `wkv serve`: a model behind OpenAI's HTTP API.
#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>

#include "cli/commands.h"
#include "serve/engine.h"
#include "serve/http_server.h"
#include "serve/service.h"
#include "wkv/zoo/catalogue.h"

namespace wkv::cli {
namespace {

struct ServeArguments {
  LanguageModelArguments model;
  serve::ServerOptions server;
  serve::RequestLimits limits;
  serve::EngineOptions engine;
  std::string name, api_key, chat_format;
  int64_t state_cache_mb = 256, body_kb = 1024;
  int64_t read_timeout = 30, write_timeout = 30, grace = 30;  // seconds
};

// As clients call it: its name in the catalogue, or the file's without its ending.
std::string default_name(const std::string& model) {
  if (zoo::card_of(model)) return model;
  const std::filesystem::path path = std::filesystem::path(model).lexically_normal();
  const std::filesystem::path last = path.has_filename() ? path : path.parent_path();
  return std::filesystem::is_directory(last) ? last.filename().string() : last.stem().string();
}

void run_serve(ServeArguments arguments) {
  auto& [model_arguments, server_options, limits, engine_options, name, api_key, chat_format_name, state_cache_mb,
         body_kb, read_timeout, write_timeout, grace] = arguments;
  server_options.body_bytes = body_kb << 10;
  server_options.read_timeout = std::chrono::seconds(read_timeout);
  server_options.write_timeout = std::chrono::seconds(write_timeout);
  server_options.grace = std::chrono::seconds(grace);
  engine_options.state_cache_bytes = state_cache_mb << 20;
  limits.max_choices = std::min(limits.max_choices, engine_options.slots + engine_options.queue);
  const ChatFormat format = model_arguments.chat_format(chat_format_name);

  serve::HttpServer server(server_options);  // before the model is loaded: a port in use is known at once
  const auto model = model_arguments.load();
  const auto tokenizer = model_arguments.load_tokenizer(*model);
  serve::Metrics metrics;
  serve::Engine engine(*model, *tokenizer, engine_options, metrics);
  const serve::ServedModel served{name.empty() ? default_name(model_arguments.model) : name, *tokenizer,
                                  model->vocab_size(), format};
  const serve::Service service(served, limits, api_key, metrics);
  server.run(service, engine, metrics, [&] { print(fmt::format("listening on {}\n", server.url())); });
}

}  // namespace

void add_serve(CLI::App& app) {
  auto* command = app.add_subcommand("serve", "Serve a model by OpenAI's HTTP API");
  auto arguments = std::make_shared<ServeArguments>();
  arguments->model.add_to(*command, /*model_required=*/true);
  const auto count = [&](const char* name, int64_t& value, int64_t least, const char* text) {
    command->add_option(name, value, text)->check(CLI::Range(least, int64_t{1} << 30))->capture_default_str();
  };
  auto& [model, server, limits, engine, name, api_key, format, cache_mb, body_kb, read, write, grace] = *arguments;
  command->add_option("--host", server.host, "The address to listen at; 0.0.0.0: every one of this machine")
      ->capture_default_str();
  command->add_option("--port", server.port, "0: one that is free, which is then printed")->capture_default_str();
  command->add_option("--api-key", api_key, "Answer only those who send this key")->envname("WKV_API_KEY");
  command->add_option("--name", name, "The model's name for clients (default: the catalogue's or the file's)");
  add_chat_format(*command, "--chat-format", format);
  count("--slots", engine.slots, 1, "Texts that are generated at the same time");
  count("--queue", engine.queue, 0, "Texts that may wait for a slot; more are refused");
  count("--state-cache-mb", cache_mb, 0, "Memory for the states of texts read before; 0: none are kept");
  count("--max-tokens", limits.max_tokens, 1, "At most so many an answer");
  count("--max-prompt-tokens", limits.max_prompt_tokens, 1, "At most so many a prompt");
  count("--max-choices", limits.max_choices, 1, "At most so many answers to a request: its prompts times its n");
  count("--max-body-kb", body_kb, 1, "The longest request");
  count("--connections", server.connections, 1, "At most so many at a time");
  count("--read-timeout", read, 1, "Seconds in which a request must arrive");
  count("--write-timeout", write, 1, "Seconds in which a client must take what it is sent");
  count("--grace", grace, 0, "Seconds for running requests to end after SIGINT or SIGTERM");
  command->callback([arguments] { run_serve(*arguments); });
}

}  // namespace wkv::cli

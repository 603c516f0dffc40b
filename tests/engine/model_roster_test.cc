#include "accelerate/engine/model_roster.h"

#include <future>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/fake_engine.h"

namespace accelerate {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

RosterModel model(const std::string& name, const std::string& fixture = "llama_f32.gguf") {
  RosterModel made{.name = name, .word = fixture_path(fixture).string(), .open = {}};
  made.open.parity = ParityMode::kOff;
  return made;
}

RosterStatus status_of(const ModelRoster& roster, const std::string& name) {
  for (RosterStatus& status : roster.list()) {
    if (status.name == name) return status;
  }
  ADD_FAILURE() << name << " is not on the roster";
  return {};
}

bool comes_true(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + 10s;
  while (!condition() && std::chrono::steady_clock::now() < deadline) std::this_thread::sleep_for(1ms);
  return condition();
}

// Programs of one engine, counted; at most `most` fit.
struct Programs {
  std::atomic<int> alive{0}, made{0}, most{1000};
  void install(FakeBackend& backend) {
    backend.make = [this](const CompileOptions&, Progress&) -> Result<std::unique_ptr<Program>> {
      if (alive >= most) return Error{ErrorCode::kResourceExhausted, "[test] no memory"};
      ++made;
      ++alive;
      auto program = std::make_unique<CountingDecoder>();
      program->lifetime = std::shared_ptr<void>(nullptr, [this](void*) { --alive; });
      program->vocabulary_value = 280;
      return Result<std::unique_ptr<Program>>(std::move(program));
    };
  }
};

// Until somebody stops it.
void load_for_ever(FakeBackend& backend, std::atomic<bool>& loading) {
  backend.make = [&loading](const CompileOptions&, Progress& progress) -> Result<std::unique_ptr<Program>> {
    loading = true;
    while (progress.update("tensors", 1, 10, "tensors")) std::this_thread::sleep_for(1ms);
    return Error{ErrorCode::kCancelled, "[test] stopped"};
  };
}

TEST(ModelRoster, LoadsWhenAskedForAndOnce) {
  Programs programs;  // outlives the engine's
  FakeEngine fake;
  programs.install(*fake.backend);
  ModelRoster roster(*fake.engine, {});
  const auto name = roster.add(model(""));
  ASSERT_TRUE(name) << to_string(name.error());
  EXPECT_EQ(*name, "llama_f32");
  EXPECT_EQ(status_of(roster, *name).state, ModelState::kUnloaded);
  EXPECT_EQ(programs.made, 0);
  std::vector<std::future<Result<std::shared_ptr<Endpoint>>>> all;
  for (int i = 0; i < 4; ++i) all.push_back(std::async(std::launch::async, [&] { return roster.acquire("llama_f32"); }));
  std::vector<std::shared_ptr<Endpoint>> held;
  for (auto& one : all) {
    auto endpoint = one.get();
    ASSERT_TRUE(endpoint) << to_string(endpoint.error());
    held.push_back(*std::move(endpoint));
  }
  EXPECT_EQ(programs.made, 1);
  EXPECT_EQ(held.front()->info().name, "llama_f32");
  EXPECT_EQ(status_of(roster, *name).in_use, 4u);
  held.clear();
  const RosterStatus after = status_of(roster, *name);
  EXPECT_EQ(after.in_use, 0u);
  EXPECT_EQ(after.loads, 1u);
  EXPECT_EQ(after.state, ModelState::kLoaded);
}

TEST(ModelRoster, NamesAreKnownAndUnique) {
  FakeEngine fake;
  ModelRoster roster(*fake.engine, {});
  ASSERT_TRUE(roster.add(model("a")));
  const auto twice = roster.add(model("a"));
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code, ErrorCode::kAlreadyExists);
  const auto none = roster.acquire("b");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(none.error().message, HasSubstr("try a"));
  EXPECT_FALSE(roster.add({.name = "c", .word = "/nowhere/at/all.gguf", .open = {}})) << "a file that is not there is refused before anybody asks";
  EXPECT_EQ(roster.pin("b", true).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(roster.unload("b", 0ms).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(roster.remove("b", 0ms).error().code, ErrorCode::kNotFound);
}

TEST(ModelRoster, TheLeastRecentlyUsedMakesRoom) {
  Programs programs;  // outlives the engine's
  FakeEngine fake;
  programs.most = 2;
  programs.install(*fake.backend);
  ModelRoster roster(*fake.engine, {.evict = true});
  for (const char* name : {"a", "b", "c"}) ASSERT_TRUE(roster.add(model(name)));
  ASSERT_TRUE(roster.acquire("a"));
  std::this_thread::sleep_for(2ms);
  ASSERT_TRUE(roster.acquire("b"));
  std::this_thread::sleep_for(2ms);
  ASSERT_TRUE(roster.acquire("a"));  // b is the one not used for longest now
  const auto third = roster.acquire("c");
  ASSERT_TRUE(third) << to_string(third.error());
  EXPECT_EQ(status_of(roster, "a").state, ModelState::kLoaded);
  EXPECT_EQ(status_of(roster, "b").state, ModelState::kUnloaded);
  EXPECT_EQ(status_of(roster, "b").unloads.at(UnloadCause::kMemory), 1u);
  EXPECT_EQ(programs.alive, 2);
  ASSERT_TRUE(roster.acquire("b")) << "c is in use, a makes room";
  EXPECT_EQ(status_of(roster, "a").state, ModelState::kUnloaded);
}

TEST(ModelRoster, WhatIsInUseOrPinnedStays) {
  Programs programs;  // outlives the engine's
  FakeEngine fake;
  programs.most = 2;
  programs.install(*fake.backend);
  ModelRoster roster(*fake.engine, {.evict = true});
  for (const char* name : {"a", "b", "c"}) ASSERT_TRUE(roster.add(model(name)));
  ASSERT_TRUE(roster.pin("a", true));
  ASSERT_TRUE(roster.load("a", no_progress()));
  auto used = roster.acquire("b");
  ASSERT_TRUE(used);
  const auto third = roster.acquire("c");
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error().code, ErrorCode::kResourceExhausted);
  const auto soon = roster.acquire("c");
  ASSERT_FALSE(soon);
  EXPECT_EQ(soon.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(soon.error().message, HasSubstr("tried again in 2 s"));
  EXPECT_EQ(status_of(roster, "c").state, ModelState::kFailed);
  EXPECT_THAT(status_of(roster, "c").error, HasSubstr("no memory"));
  *used = nullptr;
  EXPECT_TRUE(roster.load("c", no_progress())) << "an explicit load does not wait";
  EXPECT_EQ(status_of(roster, "b").state, ModelState::kUnloaded);
  EXPECT_EQ(status_of(roster, "a").state, ModelState::kLoaded);
}

TEST(ModelRoster, WithoutEvictionALoadThatLacksMemoryFails) {
  Programs programs;  // outlives the engine's
  FakeEngine fake;
  programs.most = 1;
  programs.install(*fake.backend);
  ModelRoster roster(*fake.engine, {});
  for (const char* name : {"a", "b"}) ASSERT_TRUE(roster.add(model(name)));
  ASSERT_TRUE(roster.acquire("a"));
  EXPECT_FALSE(roster.acquire("b"));
  EXPECT_EQ(status_of(roster, "a").state, ModelState::kLoaded);
}

TEST(ModelRoster, ABudgetIsMadeRoomInBeforeAnythingIsMadeSmaller) {
  EngineOptions options;
  options.memory_bytes = 100;
  FakeEngine fake(options);  // each model is estimated at 60
  std::vector<uint64_t> budgets;
  fake.backend->make = [&](const CompileOptions& compile, Progress&) -> Result<std::unique_ptr<Program>> {
    budgets.push_back(compile.memory_bytes);
    auto program = std::make_unique<CountingDecoder>();
    program->memory_value = 60;
    program->vocabulary_value = 280;
    return Result<std::unique_ptr<Program>>(std::move(program));
  };
  ModelRoster roster(*fake.engine, {.evict = true});
  for (const char* name : {"a", "b"}) ASSERT_TRUE(roster.add(model(name)));
  ASSERT_TRUE(roster.acquire("a"));
  ASSERT_TRUE(roster.acquire("b"));
  EXPECT_EQ(status_of(roster, "a").state, ModelState::kUnloaded);
  ASSERT_EQ(budgets.size(), 2u);
  EXPECT_EQ(budgets[1], 100u) << "b was offered all of it";
}

TEST(ModelRoster, IdleModelsGoAndComeBack) {
  Programs programs;  // outlives the engine's
  FakeEngine fake;
  programs.install(*fake.backend);
  ModelRoster roster(*fake.engine, {.idle_unload = 40ms});
  for (const char* name : {"a", "pinned", "used"}) ASSERT_TRUE(roster.add(model(name)));
  ASSERT_TRUE(roster.pin("pinned", true));
  ASSERT_TRUE(roster.load("pinned", no_progress()));
  const auto used = roster.acquire("used");
  ASSERT_TRUE(used);
  ASSERT_TRUE(roster.acquire("a"));
  EXPECT_TRUE(comes_true([&] { return status_of(roster, "a").state == ModelState::kUnloaded; }));
  EXPECT_EQ(status_of(roster, "a").unloads.at(UnloadCause::kIdle), 1u);
  EXPECT_EQ(status_of(roster, "pinned").state, ModelState::kLoaded);
  EXPECT_EQ(status_of(roster, "used").state, ModelState::kLoaded);
  EXPECT_EQ(programs.alive, 2);
  ASSERT_TRUE(roster.acquire("a"));
  EXPECT_EQ(status_of(roster, "a").loads, 2u);
}

TEST(ModelRoster, UnloadingWaitsForAnswers) {
  FakeEngine fake;
  ModelRoster roster(*fake.engine, {});
  ASSERT_TRUE(roster.add(model("a")));
  auto used = roster.acquire("a");
  ASSERT_TRUE(used);
  auto unloading = std::async(std::launch::async, [&] { return roster.unload("a", 10s); });
  ASSERT_TRUE(comes_true([&] { return status_of(roster, "a").state == ModelState::kUnloading; }));
  auto next = std::async(std::launch::async, [&] { return roster.acquire("a"); });  // waits, then loads it again
  EXPECT_EQ(next.wait_for(20ms), std::future_status::timeout);
  *used = nullptr;
  EXPECT_TRUE(unloading.get());
  const auto again = next.get();
  ASSERT_TRUE(again) << to_string(again.error());
  EXPECT_EQ(status_of(roster, "a").loads, 2u);
  EXPECT_TRUE(roster.unload("a", 0ms)) << "its time is up: answers are ended";
  EXPECT_FALSE((*again)->generate(Request{})) << "closed under the holder";
}

TEST(ModelRoster, RemovingStopsALoad) {
  FakeEngine fake;
  std::atomic<bool> loading{false};
  load_for_ever(*fake.backend, loading);
  ModelRoster roster(*fake.engine, {});
  ASSERT_TRUE(roster.add(model("a")));
  auto first = std::async(std::launch::async, [&] { return roster.acquire("a"); });
  ASSERT_TRUE(comes_true([&] { return loading.load(); }));
  EXPECT_EQ(roster.unload("a", 0ms).error().code, ErrorCode::kFailedPrecondition);
  auto second = std::async(std::launch::async, [&] { return roster.acquire("a"); });
  EXPECT_TRUE(roster.remove("a", 0ms));
  EXPECT_EQ(first.get().error().code, ErrorCode::kNotFound);
  EXPECT_EQ(second.get().error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(roster.list().empty());
  EXPECT_TRUE(roster.add(model("a"))) << "the name is free";
}

TEST(ModelRoster, ItsEndStopsLoads) {
  FakeEngine fake;
  std::atomic<bool> loading{false};
  load_for_ever(*fake.backend, loading);
  auto roster = std::make_unique<ModelRoster>(*fake.engine, RosterOptions{});
  ASSERT_TRUE(roster->add(model("a")));
  auto first = std::async(std::launch::async, [&, plain = roster.get()] { return plain->acquire("a"); });
  ASSERT_TRUE(comes_true([&] { return loading.load(); }));
  roster.reset();
  EXPECT_FALSE(first.get());
}

}  // namespace
}  // namespace accelerate

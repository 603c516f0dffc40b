#include "accelerate/engine/fair_queue.h"

#include <algorithm>

#include "accelerate/base/check.h"

namespace accelerate {

bool FairQueue::before(const Job& a, const Job& b) const {
  if (a.priority != b.priority) return a.priority < b.priority;
  if ((a.admitted != 0) != (b.admitted != 0)) return a.admitted != 0;
  if (a.admitted == 0 && a.client != b.client && served(a) != served(b)) return served(a) < served(b);
  return a.arrived < b.arrived;
}

void FairQueue::push(std::unique_ptr<Job> job) {
  if (job->arrived == 0) {
    job->arrived = ++arrivals_;
    Client& client = clients_[job->client];
    if (client.jobs++ == 0) {
      uint64_t least = UINT64_MAX;
      for (const auto& [name, other] : clients_) {
        if (other.jobs > 0 && &other != &client) least = std::min(least, other.served);
      }
      if (least != UINT64_MAX) client.served = std::max(client.served, least);
    }
  }
  jobs_.push_back(std::move(job));
}

const Job* FairQueue::next() const {
  const auto first = std::min_element(jobs_.begin(), jobs_.end(), [&](const auto& a, const auto& b) { return before(*a, *b); });
  return first == jobs_.end() ? nullptr : first->get();
}

std::unique_ptr<Job> FairQueue::pop() {
  const auto first = std::min_element(jobs_.begin(), jobs_.end(), [&](const auto& a, const auto& b) { return before(*a, *b); });
  CHECK(first != jobs_.end(), "pop() takes what next() showed");
  std::unique_ptr<Job> job = std::move(*first);
  jobs_.erase(first);
  return job;
}

std::vector<std::unique_ptr<Job>> FairQueue::take_if(bool (*gone)(const Job&)) {
  std::vector<std::unique_ptr<Job>> kept, taken;  // std::stable_partition of libstdc++ 12 does not compile under clang's -Werror
  for (std::unique_ptr<Job>& job : jobs_) (gone(*job) ? taken : kept).push_back(std::move(job));
  jobs_ = std::move(kept);
  return taken;
}

void FairQueue::charge(const Job& job, uint64_t weighted_tokens) { clients_.at(job.client).served += weighted_tokens; }

void FairQueue::ended(const Job& job) {
  const auto at = clients_.find(job.client);
  CHECK(at != clients_.end() && at->second.jobs > 0, "a job ends once");
  --at->second.jobs;
  // Counters matter only between clients who are here together: with the last one gone all begin anew.
  const bool anybody = std::any_of(clients_.begin(), clients_.end(), [](const auto& entry) { return entry.second.jobs > 0; });
  if (!anybody) clients_.clear();
}

uint64_t FairQueue::tokens() const {
  uint64_t sum = 0;
  for (const auto& job : jobs_) sum += job->tokens.size();
  return sum;
}

std::vector<const Job*> FairQueue::in_order() const {
  std::vector<const Job*> jobs;
  for (const auto& job : jobs_) jobs.push_back(job.get());
  std::sort(jobs.begin(), jobs.end(), [&](const Job* a, const Job* b) { return before(*a, *b); });
  return jobs;
}

}  // namespace accelerate

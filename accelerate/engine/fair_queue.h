// FairQueue - waiting jobs in the order in which they are served.
//
//   queue.push(std::move(job));
//   if (const Job* next = queue.next(); next && fits(*next)) start(queue.pop());
//   queue.charge(*job, tokens);                 // as it is served
//   queue.ended(*job);                          // once, whatever became of it
//
// Order: the smallest priority value; of these, who had been started and stepped back; then the client that was served
// least; then who came first. Service is counted per client as in the Virtual Token Counter (arXiv 2401.00588): prompt
// tokens and, weighted, generated tokens; a client who comes back is lifted to the least served of those who are there, so
// that nobody saves up. Requests without a client share one counter. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "accelerate/engine/job.h"

namespace accelerate {

class FairQueue {
 public:
  static constexpr uint64_t kGeneratedWeight = 2;  // of a generated token against a prompt token: the paper's own choice

  /// A new job, or one that stepped back (it keeps its place before new ones).
  void push(std::unique_ptr<Job> job);
  /// Whose turn it is; null when nobody waits.
  const Job* next() const;
  std::unique_ptr<Job> pop();
  /// Takes out those that `gone` names.
  std::vector<std::unique_ptr<Job>> take_if(bool (*gone)(const Job&));
  void charge(const Job& job, uint64_t weighted_tokens);
  /// The job's client has one job less, waiting or running.
  void ended(const Job& job);
  size_t size() const { return jobs_.size(); }
  /// Of all waiting jobs together.
  uint64_t tokens() const;
  /// Waiting jobs, first to be served first.
  std::vector<const Job*> in_order() const;

 private:
  struct Client {
    uint64_t served = 0;
    uint32_t jobs = 0;  // waiting or running
  };
  bool before(const Job& a, const Job& b) const;
  uint64_t served(const Job& job) const { return clients_.at(job.client).served; }

  std::vector<std::unique_ptr<Job>> jobs_;  // at most limits::kQueuedRequestsMax: a scan is cheaper than a step by far
  std::map<std::string, Client> clients_;   // those with jobs, and those served more than others while others are here
  uint64_t arrivals_ = 0;
};

}  // namespace accelerate

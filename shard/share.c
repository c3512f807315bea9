#include "shard/share.h"

#include <assert.h>
#include <stdbool.h>

#define COUNT_MAX 65536

/* What is left to divide, and by which weight. */
struct pot {
    uint64_t total;
    uint64_t weight;
};

/* Whether its fraction of the pot is more than it takes. */
static bool is_over(const struct share *share, const struct pot *pot)
{
    return pot->total * share->weight > pot->weight * share->limit;
}

static void set_fraction(struct share *share, const struct pot *pot)
{
    uint64_t part = pot->total * share->weight;
    uint64_t loose = part * 11 / (pot->weight * 10);
    uint64_t scant = (part * 9 + pot->weight * 10 - 1) / (pot->weight * 10);
    share->down = (uint32_t)(part / pot->weight);
    share->up = (uint32_t)((part + pot->weight - 1) / pot->weight);
    loose = loose > share->up ? loose : share->up;
    share->loose = (uint32_t)(loose < share->limit ? loose : share->limit);
    share->scant = (uint32_t)(scant < share->down ? scant : share->down);
}

/* Who was given its limit has left the pot: then `loose` is not zero, or its
 * limit is. */
static bool has_left(const struct share *share)
{
    return share->loose > 0 || share->limit == 0 || share->weight == 0;
}

/* Take those out of the pot who get their limit; whether there were any. */
static bool fill_over(struct share *shares, size_t count, struct pot *pot)
{
    struct pot next = *pot;
    for (size_t i = 0; i < count; i++) {
        struct share *share = &shares[i];
        if (!has_left(share) && is_over(share, pot)) {
            share->down = share->up = share->limit;
            share->loose = share->scant = share->limit;
            next.total -= share->limit;
            next.weight -= share->weight;
        }
    }
    bool has_changed = next.weight != pot->weight;
    *pot = next;
    return has_changed;
}

void share_out(struct share *shares, size_t count, uint32_t total)
{
    assert(count <= COUNT_MAX);
    assert(total <= COUNT_MAX);
    struct pot pot = {.total = total};
    for (size_t i = 0; i < count; i++) {
        shares[i].down = shares[i].up = 0;
        shares[i].loose = shares[i].scant = 0;
        pot.weight += shares[i].limit > 0 ? shares[i].weight : 0;
    }
    while (fill_over(shares, count, &pot)) {
    }
    for (size_t i = 0; i < count; i++) {
        if (!has_left(&shares[i])) {
            set_fraction(&shares[i], &pot);
        }
    }
}

#include "troupe/troupe.h"

const char *troupe_version(void)
{
    return TROUPE_VERSION;
}

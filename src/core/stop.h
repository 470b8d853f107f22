// Ctrl-C and SIGTERM: the first asks long work to end at its next safe point, the second ends the process at once.
#pragma once

namespace starling {

void install_stop_signals();
bool stop_requested();
void request_stop();  // the same from code

}  // namespace starling

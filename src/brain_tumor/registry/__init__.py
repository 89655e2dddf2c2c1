"""What a registered model holds, and which version is the champion."""

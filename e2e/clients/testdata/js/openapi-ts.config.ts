import { defineConfig } from '@hey-api/openapi-ts';

export default defineConfig({
	input: 'openapi.yaml',
	output: 'client',
	plugins: ['@hey-api/client-fetch', 'zod', { name: '@hey-api/sdk', validator: true }],
});
